//! The two forms in which an image is signed, and which of them must be good.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::report::Refusal;

/// What is signed beside the digest, in both forms, by who makes both: the [names](Form::name) of the
/// forms, with `+` between them (cosign's `-a`, by which verifiers can ask for it, takes no commas).
/// It stands where annotations do.
///
/// By it somebody who trusts the signer knows of a form that was taken away.
pub const FORMS_ANNOTATION: &str = "dev.treelay.forms";

/// What [`FORMS_ANNOTATION`] says of signatures that are made here.
pub const BOTH_FORMS: &str = "sig+bundle";

/// A form of signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// The tag `sha256-<hex>.sig`: what podman, skopeo, rpm-ostree and bootc read.
    Sig,
    /// Bundles that refer to the image: what cosign 3 reads first.
    Bundle,
}

impl Form {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sig, Self::Bundle];

    /// As it is called where one is chosen, and in [`FORMS_ANNOTATION`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Sig => "sig",
            Self::Bundle => "bundle",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Sig => Self::Bundle,
            Self::Bundle => Self::Sig,
        }
    }

    /// Whether a value of [`FORMS_ANNOTATION`] names it. Names of forms that are not known here say
    /// nothing.
    pub(super) fn is_named_in(self, value: &str) -> bool {
        value.split('+').any(|name| name.trim() == self.name())
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sig => ".sig",
            Self::Bundle => "bundle",
        })
    }
}

/// Which form must be good, of every subject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RequiredForm {
    /// One of them, the same of every subject: programs read one form, and look at the index or at
    /// a child. Of the other form, what is missing or by other keys everywhere is a warning. Three
    /// things are reasons to refuse although one form is good: who made it says in it that they
    /// sign in both ([`FORMS_ANNOTATION`]), and their signature in the other is not there; the
    /// other is good of some subjects and not of all, so that something was taken away or
    /// exchanged; or it holds a signature by one of the keys of another image or another name, so
    /// that it was moved here.
    #[default]
    Any,
    /// The `.sig`, as podman, skopeo, rpm-ostree and bootc have it.
    Sig,
    /// The bundle, as cosign 3 has it. A bundle names no repository, so none is compared.
    Bundle,
    /// Both.
    Both,
}

/// A text that names no [`RequiredForm`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no form of signatures: expected any, sig, bundle or both")]
pub struct UnknownForm(pub String);

impl FromStr for RequiredForm {
    type Err = UnknownForm;

    fn from_str(text: &str) -> Result<Self, UnknownForm> {
        match text {
            "any" => Ok(Self::Any),
            "sig" => Ok(Self::Sig),
            "bundle" => Ok(Self::Bundle),
            "both" => Ok(Self::Both),
            _ => Err(UnknownForm(text.to_owned())),
        }
    }
}

/// The two forms of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forms {
    /// The tag.
    pub sig: FormReport,
    /// The bundles.
    pub bundle: FormReport,
    /// A form that is missing although a good signature in the other says that it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stripped: Option<Stripped>,
}

/// Something was taken away, by the words of who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stripped {
    /// The form that is missing.
    pub form: Form,
    /// Who made it: `key` and its fingerprint, or an identity.
    pub signer: String,
}

/// What one form of signatures of a subject is worth.
///
/// Serialised as an object of `state` (`good`, `absent` or `refused`), and where it is not good
/// `kind` and `message` of the refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormReport {
    /// Why it is not good.
    pub refusal: Option<Refusal>,
}

/// What one form of signatures of a subject is worth, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FormState {
    /// One of the keys made it, over this subject.
    Good,
    /// There are no signatures in this form.
    Absent,
    /// There are, and none is good.
    Refused,
}

impl FormReport {
    /// What it is worth.
    pub fn state(&self) -> FormState {
        match &self.refusal {
            None => FormState::Good,
            Some(Refusal::NoSignature { .. } | Refusal::NoBundle { .. }) => FormState::Absent,
            Some(_) => FormState::Refused,
        }
    }

    /// Whether it is good.
    pub fn is_good(&self) -> bool {
        self.refusal.is_none()
    }
}

impl Serialize for FormReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let more = if self.refusal.is_some() { 2 } else { 0 };
        let mut fields = serializer.serialize_struct("FormReport", 1 + more)?;
        fields.serialize_field("state", &self.state())?;
        if let Some(refusal) = &self.refusal {
            fields.serialize_field("kind", refusal.kind())?;
            fields.serialize_field("message", &refusal.to_string())?;
        }
        fields.end()
    }
}

impl Forms {
    /// Why the subject is refused, and what is to be told although it is not.
    ///
    /// `mixed` are the forms that are good of some subjects of the image and not of all; `named` is
    /// the name that must be signed, where the caller insists on one.
    pub(super) fn decide(
        &self,
        required: RequiredForm,
        mixed: &[Form],
        named: Option<&str>,
    ) -> (Option<Refusal>, Vec<String>) {
        let (sig, bundle) = (&self.sig.refusal, &self.bundle.refusal);
        let stripped = self.stripped();
        let warning = |refusal: &Option<Refusal>| {
            let told = stripped.iter().chain(refusal);
            told.map(Refusal::to_string).collect::<Vec<_>>()
        };
        match required {
            RequiredForm::Sig => return (sig.clone(), warning(bundle)),
            RequiredForm::Bundle => return (bundle.clone(), warning(sig)),
            RequiredForm::Both => {
                let first = stripped.clone().or_else(|| sig.clone()).or_else(|| bundle.clone());
                return (first, Vec::new());
            }
            RequiredForm::Any => {}
        }
        let both = [(Form::Sig, sig), (Form::Bundle, bundle)];
        let refused = |why: &dyn Fn(Form, &Refusal) -> bool| {
            let refused = both.into_iter().filter_map(|(form, it)| Some((form, it.as_ref()?)));
            refused.into_iter().find(|(form, it)| why(*form, it)).map(|(_, it)| it.clone())
        };
        let refusal = refused(&|_, it| it.is_moved())
            .or_else(|| stripped.clone())
            .or_else(|| refused(&|form, _| mixed.contains(&form)));
        if refusal.is_some() {
            return (refusal, Vec::new());
        }
        match (sig, bundle, named) {
            (None, bundle, _) => (None, warning(bundle)),
            (Some(sig), None, Some(expected)) => {
                let (expected, reason) = (expected.to_owned(), sig.to_string());
                (Some(Refusal::NameNotSigned { expected, reason }), Vec::new())
            }
            (Some(sig), None, None) => (None, vec![sig.to_string()]),
            (Some(sig), Some(bundle), _) => {
                let absent = self.sig.state() == FormState::Absent
                    && self.bundle.state() != FormState::Absent;
                (Some(if absent { bundle } else { sig }.clone()), Vec::new())
            }
        }
    }

    /// What one form is worth.
    pub fn of(&self, form: Form) -> &FormReport {
        match form {
            Form::Sig => &self.sig,
            Form::Bundle => &self.bundle,
        }
    }

    /// The refusal for a form that is missing. One that is there, and damaged or not readable, is
    /// refused for that.
    fn stripped(&self) -> Option<Refusal> {
        let Stripped { form, signer } = self.stripped.as_ref()?;
        match &self.of(*form).refusal {
            Some(damage @ (Refusal::Malformed { .. } | Refusal::Unreadable { .. })) => {
                Some(damage.clone())
            }
            _ => Some(Refusal::Stripped { form: *form, signer: signer.clone() }),
        }
    }

    /// The forms that are good of some and not of all.
    pub(super) fn mixed<'a>(all: impl Iterator<Item = &'a Self> + Clone) -> Vec<Form> {
        let mixed = |form: &Form| {
            let mut good = all.clone().map(|forms| forms.of(*form).is_good());
            good.clone().any(|good| good) && good.any(|good| !good)
        };
        Form::ALL.into_iter().filter(mixed).collect()
    }

    /// The refusals that are to be told of a subject that is refused for `first`.
    pub(super) fn reasons(&self, first: &Refusal) -> Vec<String> {
        let bare = |form: &FormReport| {
            matches!(
                form.refusal,
                Some(Refusal::NoSignature { .. } | Refusal::NoBundle { attestations: 0, .. })
            )
        };
        // That there is nothing at all is said once.
        let nothing = bare(&self.sig) && bare(&self.bundle);
        let all = [&self.sig, &self.bundle].into_iter().filter_map(|form| form.refusal.as_ref());
        let others = all.filter(|refusal| *refusal != first && !nothing);
        std::iter::once(first).chain(others).map(Refusal::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_sig() -> Refusal {
        Refusal::NoSignature { place: "p".into(), tag: "t".into() }
    }

    fn no_bundle() -> Refusal {
        Refusal::NoBundle { place: "p".into(), attestations: 0 }
    }

    fn broken() -> Refusal {
        Refusal::Malformed { tag: "t".into(), reason: "broken".into() }
    }

    fn elsewhere() -> Refusal {
        Refusal::OtherReference { tag: "t".into(), reason: "of b".into() }
    }

    fn forms(sig: Option<Refusal>, bundle: Option<Refusal>) -> Forms {
        let (sig, bundle) = (FormReport { refusal: sig }, FormReport { refusal: bundle });
        Forms { sig, bundle, stripped: None }
    }

    #[test]
    fn one_form_suffices_unless_more_is_asked_for() {
        use RequiredForm::{Any, Both, Bundle, Sig};
        // Of the two forms: what is wrong; of each requirement in turn, the kind of the refusal, or
        // none, and how many warnings.
        let good = None;
        for (sig, bundle, expected) in [
            (good.clone(), None, [("", 0), ("", 0), ("", 0), ("", 0)]),
            (Some(no_sig()), None, [("", 1), ("no-signature", 0), ("", 1), ("no-signature", 0)]),
            (None, Some(no_bundle()), [("", 1), ("", 1), ("no-bundle", 0), ("no-bundle", 0)]),
            (None, Some(broken()), [("", 1), ("", 1), ("malformed", 0), ("malformed", 0)]),
            (Some(broken()), None, [("", 1), ("malformed", 0), ("", 1), ("malformed", 0)]),
            (
                Some(elsewhere()),
                None,
                [("other-reference", 0), ("other-reference", 0), ("", 1), ("other-reference", 0)],
            ),
            (
                Some(no_sig()),
                Some(no_bundle()),
                [("no-signature", 0), ("no-signature", 1), ("no-bundle", 1), ("no-signature", 0)],
            ),
            (
                Some(no_sig()),
                Some(broken()),
                [("malformed", 0), ("no-signature", 1), ("malformed", 1), ("no-signature", 0)],
            ),
        ] {
            let forms = forms(sig, bundle);
            for (required, (kind, warnings)) in [Any, Sig, Bundle, Both].into_iter().zip(expected) {
                let (refusal, told) = forms.decide(required, &[], None);
                let found = refusal.as_ref().map_or("", Refusal::kind);
                assert_eq!(found, kind, "{forms:?} {required:?}");
                let (told, warnings) =
                    if kind.is_empty() { (told.len(), warnings) } else { (0, 0) };
                assert_eq!(told, warnings, "{forms:?} {required:?}");
            }
        }
    }

    #[test]
    fn what_one_subject_has_all_must_have() {
        let (both, stripped) = (forms(None, None), forms(Some(no_sig()), None));
        assert_eq!(Forms::mixed([&both, &both].into_iter()), []);
        assert_eq!(Forms::mixed([&stripped, &stripped].into_iter()), []);
        let mixed = Forms::mixed([&both, &stripped].into_iter());
        assert_eq!(mixed, [Form::Sig]);
        assert_eq!(both.decide(RequiredForm::Any, &mixed, None).0, None);
        assert_eq!(stripped.decide(RequiredForm::Any, &mixed, None).0, Some(no_sig()));
        // One subject in one form, the other in the other: no program would take both.
        let other = forms(None, Some(no_bundle()));
        let mixed = Forms::mixed([&other, &stripped].into_iter());
        assert_eq!(mixed, [Form::Sig, Form::Bundle]);
        assert_eq!(other.decide(RequiredForm::Any, &mixed, None).0, Some(no_bundle()));
        assert_eq!(stripped.decide(RequiredForm::Any, &mixed, None).0, Some(no_sig()));
    }

    #[test]
    fn a_form_that_was_made_and_is_missing_is_refused_unless_the_other_alone_is_asked_for() {
        use RequiredForm::{Any, Both, Bundle, Sig};
        // Of the two forms: what is wrong; which one is missing by the signer's words; the kind of
        // the refusal by each requirement.
        for (sig, bundle, form, expected) in [
            (Some(no_sig()), None, Form::Sig, ["stripped", "no-signature", "", "stripped"]),
            (None, Some(no_bundle()), Form::Bundle, ["stripped", "", "no-bundle", "stripped"]),
            // Another of the keys made the other form.
            (None, None, Form::Bundle, ["stripped", "", "", "stripped"]),
            // It is there, after a fashion.
            (None, Some(broken()), Form::Bundle, ["malformed", "", "malformed", "malformed"]),
            (
                Some(elsewhere()),
                None,
                Form::Sig,
                ["other-reference", "other-reference", "", "stripped"],
            ),
        ] {
            let stripped = Some(Stripped { form, signer: "key a".to_owned() });
            let forms = Forms { stripped, ..forms(sig, bundle) };
            for (required, kind) in [Any, Sig, Bundle, Both].into_iter().zip(expected) {
                let (refusal, told) = forms.decide(required, &[], None);
                assert_eq!(refusal.as_ref().map_or("", Refusal::kind), kind, "{required:?}");
                // Where it is not refused, it is said.
                assert!(refusal.is_some() || !told.is_empty(), "{forms:?} {required:?}");
            }
        }
    }

    #[test]
    fn forms_are_named_in_a_list() {
        for (value, sig, bundle) in [
            (BOTH_FORMS, true, true),
            ("bundle + sig", true, true),
            ("sig", true, false),
            ("sig+later", true, false),
            ("", false, false),
            ("signature", false, false),
        ] {
            let named = Form::ALL.map(|form| form.is_named_in(value));
            assert_eq!(named, [sig, bundle], "{value}");
        }
    }

    #[test]
    fn a_bundle_names_nothing() {
        let forms = forms(Some(no_sig()), None);
        let (refusal, _) = forms.decide(RequiredForm::Any, &[], Some("registry.example/a:1"));
        assert_eq!(refusal.unwrap().kind(), "name-not-signed");
        let (refusal, _) = forms.decide(RequiredForm::Bundle, &[], Some("registry.example/a:1"));
        assert_eq!(refusal, None);
    }

    #[test]
    fn forms_have_names() {
        for (text, form) in [
            ("any", RequiredForm::Any),
            ("sig", RequiredForm::Sig),
            ("bundle", RequiredForm::Bundle),
            ("both", RequiredForm::Both),
        ] {
            assert_eq!(text.parse(), Ok(form));
        }
        assert!("Sig".parse::<RequiredForm>().is_err());
    }
}
