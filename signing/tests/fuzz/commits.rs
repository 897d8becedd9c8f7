//! Signatures of OSTree commits.

use std::sync::LazyLock;

use treelay_signing::schemes;
use treelay_signing::{Signature, Subject};

use crate::images::SIMPLE;
use crate::mutate;
use crate::random::Random;
use crate::targets::{KEYS, Target, any_key, same_signature, signature};

const COMMIT: &[u8] = b"(a{sv}aya(say)sstayay) as far as anybody here knows";

/// Signatures of commits. Parts: number of the key, signature, commit.
pub struct Commits;

static COMMITS: LazyLock<Vec<Signature>> = LazyLock::new(|| {
    let sign = |key| schemes::sign_all(&Subject::Commit(COMMIT), key).unwrap().remove(0);
    KEYS.iter().map(sign).collect()
});

impl Target for Commits {
    fn name(&self) -> &'static str {
        "signatures of commits"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let key = any_key(random);
        let others = [SIMPLE.signatures[0].clone(), COMMITS[1].bytes.clone(), b"commit".to_vec()];
        let (mut bytes, mut commit) = (COMMITS[key].bytes.clone(), COMMIT.to_vec());
        match random.once_in(3) {
            true => commit = mutate::bytes(random, COMMIT, &others),
            false => bytes = signature(random, KEYS[key].kind(), &bytes, &others),
        }
        vec![vec![key as u8], bytes, commit]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let key = usize::from(input[0][0]);
        let made = &COMMITS[key];
        let mut accepted = false;
        for name in ["ostree.sign.ed25519", "ostree.sign.spki"] {
            let Some(scheme) = schemes::by_name(name) else { return Err("no scheme".to_owned()) };
            let found =
                Signature { scheme: scheme.name(), bytes: input[1].clone(), ..made.clone() };
            let subject = Subject::Commit(&input[2]);
            if scheme.verify(&subject, &found, KEYS[key].public()).is_good() {
                if input[2] != COMMIT {
                    return Err("another commit is good".to_owned());
                }
                if !same_signature(KEYS[key].kind(), &made.bytes, &input[1]) {
                    return Err("another signature is good".to_owned());
                }
                accepted = true;
            }
        }
        Ok(accepted)
    }

    fn untouched(&self) -> usize {
        let judged = (0..KEYS.len())
            .map(|key| self.judge(&[vec![key as u8], COMMITS[key].bytes.clone(), COMMIT.to_vec()]));
        judged.filter(|judged| *judged == Ok(true)).count()
    }
}
