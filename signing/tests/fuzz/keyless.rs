//! Signatures with certificates: real bundles and roots, spoiled.
//!
//! A spoiled bundle may be accepted when everything that is said of it is said of the good one too:
//! the same signer by the same certificate, of the same artifact and statement, at times and in
//! entries of logs that the good one has. It may have fewer of them, as long as there are enough.

use std::sync::LazyLock;

use treelay_signing::bundle::{Bundle, Content};
use treelay_signing::keyless::{Artifact, Matcher, Policy, Signed, TrustedRoot, verify};

use crate::mutate;
use crate::random::Random;
use crate::targets::Target;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../fixtures/keyless/", $name, ".json")).as_slice()
    };
}

/// A root, a bundle that is good by it, the SHA-256 or SHA-512 of the artifact, and the signer.
struct Known {
    root: &'static [u8],
    bundle: &'static [u8],
    digest: &'static str,
    identity: &'static str,
}

const ROOTS: [&[u8]; 3] =
    [fixture!("root-public-good"), fixture!("root-staging"), fixture!("root-scaffolding")];

const KNOWN: [Known; 7] = [
    Known {
        root: ROOTS[0],
        bundle: fixture!("wheel-v0.2"),
        digest: "c4e92e9ecc828bef2aa7dba1de8ac983511f7532a0df11c770d39099a25cf201",
        identity: "https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2",
    },
    Known {
        root: ROOTS[0],
        bundle: fixture!("cosign-blob-v0.3"),
        digest: "e194b99df6639501325c5f44da79fe3a8efae6f239bd79443a19787e06fb1764",
        identity: "w.vollprecht@gmail.com",
    },
    Known {
        root: ROOTS[0],
        bundle: fixture!("conda-v0.3"),
        digest: "54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f",
        identity: "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main",
    },
    Known {
        root: ROOTS[0],
        bundle: fixture!("dsse-v0.1"),
        digest: "bbfd372fc9beeb777fe35d05bb10c0c70a9733d366a75fed7dd18866c7391de3ee7e88ba74dd47abf3e15c845e547fcf0e5c3da80854c751554224d3a6d4e55f",
        identity: "brian@dehamer.com",
    },
    Known {
        root: ROOTS[2],
        bundle: fixture!("othername-v0.3"),
        digest: "bc103b4a84971ef6459b294a2b98568a2bfb72cded09d4acd1e16366a401f95b",
        identity: "foo!oidc.local",
    },
    Known {
        root: ROOTS[1],
        bundle: fixture!("rekor2-v0.3"),
        digest: "15f67246115921bb7c1de0e7e9e9275c8016dc254a0c009888944b7ed3644aaa",
        identity: "jku@goto.fi",
    },
    Known {
        root: ROOTS[1],
        bundle: fixture!("rekor2-dsse-v0.3"),
        digest: "a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf",
        identity: "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main",
    },
];

/// Bundles to take parts from: the good ones, and real ones that have something wrong.
static OTHERS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let wrong = [
        fixture!("no-log-entry-v0.1"),
        fixture!("no-checkpoint-v0.2"),
        fixture!("no-signed-time-v0.3"),
        fixture!("other-artifact-v0.3"),
        fixture!("rekor2-same-names-v0.3"),
        fixture!("key-v0.3"),
    ];
    KNOWN.iter().map(|known| known.bundle).chain(wrong).map(<[u8]>::to_vec).collect()
});

static ROOTS_READ: LazyLock<Vec<TrustedRoot>> =
    LazyLock::new(|| KNOWN.iter().map(|known| TrustedRoot::parse(known.root).unwrap()).collect());

impl Known {
    fn artifact(&self) -> Artifact<'static> {
        let bytes = hex::decode(self.digest).unwrap();
        match bytes.len() {
            32 => Artifact::of_sha256(bytes.try_into().unwrap()),
            _ => Artifact::of_sha512(bytes.try_into().unwrap()),
        }
    }

    fn policy(&self) -> Policy {
        let issuer = Matcher::pattern(".+").unwrap();
        Policy { identity: Matcher::exactly(self.identity), issuer }
    }

    fn verify(&self, root: &TrustedRoot, bundle: &Bundle) -> Option<Signed> {
        verify(bundle, &self.artifact(), root, &self.policy()).ok()
    }
}

/// The type of the payload and the payload, where the content is an envelope; and the signatures.
type SignedPart<'a> = (Option<(&'a str, &'a [u8])>, Vec<&'a [u8]>);

/// What is signed, and the signatures: without the names of keys and the digest beside, which prove
/// nothing.
fn signed_part(bundle: &Bundle) -> SignedPart<'_> {
    match &bundle.content {
        Content::Envelope(envelope) => {
            let signatures = envelope.signatures.iter().map(|one| one.sig.as_slice()).collect();
            (Some((&envelope.payload_type, &envelope.payload)), signatures)
        }
        Content::Message(message) => (None, vec![&message.signature]),
    }
}

static GOOD: LazyLock<Vec<Signed>> = LazyLock::new(|| {
    let good = |(known, root): (&Known, &TrustedRoot)| {
        known.verify(root, &Bundle::parse(known.bundle).unwrap()).unwrap()
    };
    KNOWN.iter().zip(ROOTS_READ.iter()).map(good).collect()
});

/// Bundles with certificates. Parts: number of the good one, bundle.
pub struct Certified;

impl Target for Certified {
    fn name(&self) -> &'static str {
        "bundles with certificates"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let number = random.below(KNOWN.len());
        vec![vec![number as u8], mutate::document(random, KNOWN[number].bundle, &OTHERS)]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let number = usize::from(input[0][0]);
        let (known, good) = (&KNOWN[number], &GOOD[number]);
        let Ok(bundle) = Bundle::parse(&input[1]) else { return Ok(false) };
        let Some(signed) = known.verify(&ROOTS_READ[number], &bundle) else { return Ok(false) };
        let same = signed.artifact == good.artifact
            && signed.by == good.by
            && signed.statement == good.statement
            && signed.times.iter().all(|time| good.times.contains(time))
            && signed.log.iter().all(|entry| good.log.contains(entry));
        if !same {
            return Err(format!("something else is good: {signed:?}"));
        }
        let made = Bundle::parse(known.bundle).map_err(|error| error.to_string())?;
        match signed_part(&made) == signed_part(&bundle) {
            true => Ok(true),
            false => Err("another content is good".to_owned()),
        }
    }

    fn untouched(&self) -> usize {
        let judged = KNOWN.iter().enumerate();
        let judged = judged.map(|(at, known)| self.judge(&[vec![at as u8], known.bundle.to_vec()]));
        judged.filter(|judged| *judged == Ok(true)).count()
    }
}

/// Trusted roots, which a host is given: they must be read or refused, and may make less good, never
/// more. Parts: number of the good bundle, root.
pub struct Roots;

impl Target for Roots {
    fn name(&self) -> &'static str {
        "trusted roots"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let number = random.below(KNOWN.len());
        let others = ROOTS.map(<[u8]>::to_vec);
        vec![vec![number as u8], mutate::document(random, KNOWN[number].root, &others)]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let number = usize::from(input[0][0]);
        let Ok(root) = TrustedRoot::parse(&input[1]) else { return Ok(false) };
        let bundle = Bundle::parse(KNOWN[number].bundle).map_err(|error| error.to_string())?;
        let Some(signed) = KNOWN[number].verify(&root, &bundle) else { return Ok(false) };
        // Names of logs and authorities are the root's to say.
        match (&signed.by, &signed.statement) == (&GOOD[number].by, &GOOD[number].statement) {
            true => Ok(true),
            false => Err(format!("something else is good: {signed:?}")),
        }
    }

    fn untouched(&self) -> usize {
        let judged = KNOWN.iter().enumerate();
        let judged = judged.map(|(at, known)| self.judge(&[vec![at as u8], known.root.to_vec()]));
        judged.filter(|judged| *judged == Ok(true)).count()
    }
}
