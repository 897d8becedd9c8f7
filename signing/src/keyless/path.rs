//! From a signer's certificate to an authority of the trusted root, at a time that is proved.

use const_oid::db::rfc3280;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::constraints::name::GeneralSubtree;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

use super::certificate::{Certificate, Purpose};
use super::error::KeylessError;
use super::root::Authority;
use super::time::Time;

/// Most authorities between a signer and a root.
const MAX_DEPTH: usize = 10;

/// Finds the authority that issued `leaf`, and checks the whole path for the time `signed`.
///
/// Gives the authority, and the certificate that signed `leaf`.
///
/// # Errors
/// [`KeylessError`] of the certificates, their chain and their authority. Where several authorities
/// of the root issued it under one name, that of the last.
pub(super) fn verify<'a>(
    leaf: &Certificate,
    authorities: &'a [Authority],
    purpose: Purpose,
    signed: Time,
) -> Result<(&'a Authority, &'a Certificate), KeylessError> {
    leaf.check_signer(purpose).map_err(|detail| KeylessError::Certificate { detail })?;
    check_period(leaf, signed)?;
    let mut refusal = None;
    for authority in authorities {
        let Some(path) = path(leaf, authority) else { continue };
        match check(leaf, authority, &path, purpose, signed) {
            Ok(()) => return Ok((authority, path[0])),
            Err(error) => refusal = Some(error),
        }
    }
    Err(refusal.unwrap_or_else(|| KeylessError::UnknownAuthority { issuer: leaf.issuer() }))
}

/// The certificates above `leaf`, up to the authority's last, by names and signatures.
fn path<'a>(leaf: &Certificate, authority: &'a Authority) -> Option<Vec<&'a Certificate>> {
    let anchor = authority.chain.last()?;
    let mut path: Vec<&Certificate> = Vec::new();
    while path.len() < MAX_DEPTH {
        let child = path.last().copied().unwrap_or(leaf);
        // Several may have one name, and then one of them has the key.
        let is_parent = |one: &&Certificate| !path.contains(one) && child.is_issued_by(one);
        let parent = authority.chain.iter().find(is_parent)?;
        path.push(parent);
        if parent == anchor {
            return Some(path);
        }
    }
    None
}

fn check(
    leaf: &Certificate,
    authority: &Authority,
    path: &[&Certificate],
    purpose: Purpose,
    signed: Time,
) -> Result<(), KeylessError> {
    if !authority.period.contains(signed) {
        return Err(KeylessError::AuthorityPeriod {
            authority: authority.name(),
            period: authority.period,
            signed,
        });
    }
    let chain = |detail| KeylessError::Chain { detail };
    for (below, parent) in path.iter().enumerate() {
        check_period(parent, signed)?;
        parent.check_authority(purpose, below).map_err(chain)?;
        let Some(constraints) = parent.name_constraints().map_err(chain)? else { continue };
        let permitted = constraints.permitted_subtrees.as_deref().unwrap_or_default();
        let excluded = constraints.excluded_subtrees.as_deref().unwrap_or_default();
        // They bind every certificate below, those of authorities too.
        for one in [leaf].into_iter().chain(path[..below].iter().copied()) {
            let names = one.names().map_err(|detail| KeylessError::Certificate { detail })?;
            check_subject(&one.inner.tbs_certificate.subject, permitted, excluded)
                .and_then(|()| check_names(names.as_ref(), permitted, excluded))
                .map_err(|name| chain(format!("{} may not issue for {name}", parent.subject())))?;
        }
    }
    Ok(())
}

fn check_period(certificate: &Certificate, signed: Time) -> Result<(), KeylessError> {
    let period = certificate.period();
    let subject = certificate.subject();
    if period.start.is_some_and(|start| signed < start) {
        return Err(KeylessError::NotYetValid { signed, subject, period });
    }
    if period.end.is_some_and(|end| end < signed) {
        return Err(KeylessError::Expired { signed, subject, period });
    }
    Ok(())
}

/// Checks names against constraints (RFC 5280, section 4.2.1.10); the error is the name that is
/// not allowed. Constraints of a form that is not compared here are as if they allowed nothing of
/// that form, and so is a constraint with a minimum or maximum, which nobody may write.
fn check_names(
    names: Option<&SubjectAltName>,
    permitted: &[GeneralSubtree],
    excluded: &[GeneralSubtree],
) -> Result<(), String> {
    for name in names.map(|names| names.0.as_slice()).unwrap_or_default() {
        let same_form = |tree: &&GeneralSubtree| {
            std::mem::discriminant(&tree.base) == std::mem::discriminant(name)
        };
        let lies_in = |tree: &GeneralSubtree| match (tree.minimum, tree.maximum) {
            (0, None) => lies_in(name, &tree.base),
            _ => None,
        };
        for tree in excluded.iter().filter(same_form) {
            if lies_in(tree) != Some(false) {
                return Err(words(name));
            }
        }
        let mut trees = permitted.iter().filter(same_form).peekable();
        if trees.peek().is_some() && !trees.any(|tree| lies_in(tree) == Some(true)) {
            return Err(words(name));
        }
    }
    Ok(())
}

/// The same with the name of the subject, which constraints for names of directories bind, and where
/// an address of mail is in it, those for addresses: neither is compared.
fn check_subject(
    subject: &Name,
    permitted: &[GeneralSubtree],
    excluded: &[GeneralSubtree],
) -> Result<(), String> {
    let has_mail = subject
        .0
        .iter()
        .flat_map(|part| part.0.iter())
        .any(|one| one.oid == rfc3280::EMAIL_ADDRESS);
    let binds = |tree: &GeneralSubtree| match tree.base {
        GeneralName::DirectoryName(_) => !subject.is_empty(),
        GeneralName::Rfc822Name(_) => has_mail,
        _ => false,
    };
    match permitted.iter().chain(excluded).any(binds) {
        true => Err(format!("the subject {subject}")),
        false => Ok(()),
    }
}

/// Whether a name lies in the part of its world that a constraint names; [`None`] where that is
/// not known.
fn lies_in(name: &GeneralName, base: &GeneralName) -> Option<bool> {
    let in_domain = |host: &str, domain: &str| match domain.strip_prefix('.') {
        Some(_) => host.len() > domain.len() && host.ends_with(domain),
        None => host == domain,
    };
    match (name, base) {
        (GeneralName::Rfc822Name(name), GeneralName::Rfc822Name(base)) => {
            let (local, host) = name.as_str().rsplit_once('@')?;
            let host = host.to_ascii_lowercase();
            Some(match base.as_str().rsplit_once('@') {
                Some((base_local, base_host)) => {
                    local == base_local && host == base_host.to_ascii_lowercase()
                }
                None => in_domain(&host, &base.as_str().to_ascii_lowercase()),
            })
        }
        (
            GeneralName::UniformResourceIdentifier(name),
            GeneralName::UniformResourceIdentifier(base),
        ) => {
            let (_, rest) = name.as_str().split_once("://")?;
            let authority = rest.split(['/', '?', '#']).next()?;
            let host = authority.rsplit('@').next()?.split(':').next()?.to_ascii_lowercase();
            Some(in_domain(&host, &base.as_str().to_ascii_lowercase()))
        }
        (GeneralName::DnsName(name), GeneralName::DnsName(base)) => {
            let (name, base) =
                (name.as_str().to_ascii_lowercase(), base.as_str().to_ascii_lowercase());
            let base = base.trim_start_matches('.');
            Some(base.is_empty() || name == base || name.ends_with(&format!(".{base}")))
        }
        _ => None,
    }
}

fn words(name: &GeneralName) -> String {
    match name {
        GeneralName::Rfc822Name(name) => name.to_string(),
        GeneralName::UniformResourceIdentifier(name) => name.to_string(),
        GeneralName::DnsName(name) => name.to_string(),
        _ => "a name of this form".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use x509_cert::der::asn1::Ia5String;

    use super::*;

    fn name(text: &str) -> GeneralName {
        let (form, text) = text.split_once(' ').unwrap();
        let text = Ia5String::new(text).unwrap();
        match form {
            "email" => GeneralName::Rfc822Name(text),
            "uri" => GeneralName::UniformResourceIdentifier(text),
            _ => GeneralName::DnsName(text),
        }
    }

    #[test]
    fn names_lie_in_constraints() {
        for (of, base, expected) in [
            ("email a@b.example", "email b.example", Some(true)),
            ("email a@B.Example", "email b.example", Some(true)),
            ("email a@c.b.example", "email b.example", Some(false)),
            ("email a@c.b.example", "email .b.example", Some(true)),
            ("email a@b.example", "email .b.example", Some(false)),
            ("email a@b.example", "email a@b.example", Some(true)),
            ("email x@b.example", "email a@b.example", Some(false)),
            ("email a@xb.example", "email b.example", Some(false)),
            ("email nobody", "email b.example", None),
            ("uri https://b.example/x", "uri b.example", Some(true)),
            ("uri https://b.example@evil.example/x", "uri b.example", Some(false)),
            ("uri https://c.b.example:1/x", "uri .b.example", Some(true)),
            ("uri spiffe:b.example", "uri b.example", None),
            ("dns c.b.example", "dns b.example", Some(true)),
            ("dns cb.example", "dns b.example", Some(false)),
            ("dns b.example", "uri b.example", None),
        ] {
            assert_eq!(lies_in(&name(of), &name(base)), expected, "{of} in {base}");
        }
    }

    #[test]
    fn names_must_be_allowed_and_not_forbidden() {
        let tree = |text| GeneralSubtree { base: name(text), minimum: 0, maximum: None };
        let names = SubjectAltName(vec![name("email a@b.example")]);
        let check = |permitted: &[GeneralSubtree], excluded: &[GeneralSubtree]| {
            check_names(Some(&names), permitted, excluded).is_ok()
        };
        assert!(check(&[], &[]));
        assert!(check(&[tree("email c.example"), tree("email b.example")], &[]));
        assert!(!check(&[tree("email c.example")], &[]));
        assert!(check(&[tree("uri c.example")], &[]), "of another form");
        assert!(!check(&[], &[tree("email b.example")]));
        assert!(check(&[], &[tree("email c.example")]));
    }
}
