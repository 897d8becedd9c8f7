//! The options that name people and workflows whose signatures are accepted, and the trusted root.

use std::io::Read as _;
use std::path::Path;

use treelay_signing::keyless::{MAX_TRUSTED_ROOT, Matcher, Policy, TrustedRoot};

use crate::cli::failure::Doing as _;
use crate::cli::verify_args::VerifyArgs;
use crate::cli::{Failure, Result, Session};
use crate::sign::Identity;

/// Where trusted roots come from.
const ROOTS: &str = "give --trusted-root FILE: `cosign trusted-root create --with-default-services` \
                     writes one, and cosign keeps the present one of the public good instance \
                     below ~/.sigstore/root as targets/trusted_root.json";

/// Who must have signed; [`None`] where nobody is named.
pub(super) fn policy(args: &VerifyArgs) -> Result<Option<Policy>> {
    let identity = matcher(args.identity.as_deref(), args.identity_regexp.as_deref())?;
    let issuer = matcher(args.issuer.as_deref(), args.issuer_regexp.as_deref())?;
    match (identity, issuer) {
        (Some(identity), Some(issuer)) => Ok(Some(Policy { identity, issuer })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Failure::usage_message(
            "--identity needs --issuer: a name is worth what whoever vouches for it is worth",
        )),
        (None, Some(_)) => Err(Failure::usage_message("--issuer needs --identity")),
    }
}

/// The trusted root, where one is given.
pub(super) fn trusted_root(session: &Session, args: &VerifyArgs) -> Result<Option<TrustedRoot>> {
    let Some(file) = &args.trusted_root else { return Ok(None) };
    let bytes = read(&session.around.current_dir.join(file), MAX_TRUSTED_ROOT)
        .doing(|| format!("reading the trusted root {}", file.display()))?;
    let root = TrustedRoot::parse(&bytes);
    Ok(Some(root.doing(|| format!("using the trusted root {}", file.display()))?))
}

/// That an identity was named and no trusted root.
pub(super) fn no_root() -> Failure {
    Failure::usage_message("a signature by an identity is verified against a trusted root")
        .hinted(ROOTS)
}

/// Whose signatures of an image are accepted beside those by keys.
pub(super) fn of_image(session: &Session, args: &VerifyArgs) -> Result<Option<Identity>> {
    match (policy(args)?, trusted_root(session, args)?) {
        (Some(policy), Some(root)) => Ok(Some(Identity { policy, root })),
        (Some(_), None) => Err(no_root()),
        (None, Some(_)) => {
            Err(Failure::usage_message("--trusted-root is for signatures of images by an identity")
                .hinted(
                    "give --identity WHO and --issuer URL; of a key no more is asked than the key",
                ))
        }
        (None, None) => Ok(None),
    }
}

fn matcher(exactly: Option<&str>, pattern: Option<&str>) -> Result<Option<Matcher>> {
    match (exactly, pattern) {
        (Some(text), _) => Ok(Some(Matcher::exactly(text))),
        (None, Some(pattern)) => Matcher::pattern(pattern).map(Some).map_err(Failure::usage),
        (None, None) => Ok(None),
    }
}

/// Reads a file that must not be longer than `most`.
pub(super) fn read(path: &Path, most: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(std::io::Error::other(format!("it is longer than {most} bytes")));
    }
    Ok(bytes)
}
