//! Proofs that an entry is in a tree of hashes (RFC 6962, section 2.1; RFC 9162, section 2.1.3.2).

use sha2::{Digest as _, Sha256};

/// Hash of an entry.
pub(super) fn leaf_hash(entry: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix([0]).chain_update(entry).finalize().into()
}

fn node_hash(left: &[u8], right: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root of the tree of `size` entries of which `leaf` is that of number `index`, by the
/// hashes beside its way up; [`None`] where they are too few, too many, or there is no such entry.
pub(super) fn root(leaf: [u8; 32], index: u64, size: u64, hashes: &[Vec<u8>]) -> Option<[u8; 32]> {
    if index >= size {
        return None;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut root = leaf;
    for hash in hashes {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            root = node_hash(hash, &root);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root and the proof for one entry, as RFC 6962 defines them.
    fn tree(leaves: &[[u8; 32]], index: usize) -> ([u8; 32], Vec<Vec<u8>>) {
        if leaves.len() == 1 {
            return (leaves[0], Vec::new());
        }
        let half = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(half);
        let in_left = index < half;
        let (left_root, left_proof) = tree(left, if in_left { index } else { 0 });
        let (right_root, right_proof) = tree(right, if in_left { 0 } else { index - half });
        let (mut proof, sibling) =
            if in_left { (left_proof, right_root) } else { (right_proof, left_root) };
        proof.push(sibling.to_vec());
        (node_hash(&left_root, &right_root), proof)
    }

    #[test]
    fn every_entry_of_every_small_tree_is_proved_and_no_other() {
        let leaves: Vec<_> = (0..20u8).map(|byte| leaf_hash(&[byte])).collect();
        for size in 1..=leaves.len() {
            for index in 0..size {
                let (expected, proof) = tree(&leaves[..size], index);
                let found = root(leaves[index], index as u64, size as u64, &proof);
                assert_eq!(found, Some(expected), "{index} of {size}");
                for other in 0..size + 2 {
                    let found = root(leaves[index], other as u64, size as u64, &proof);
                    assert!(other == index || found != Some(expected), "{index}/{other} of {size}");
                }
                let mut longer = proof.clone();
                longer.push(vec![0; 32]);
                assert_ne!(root(leaves[index], index as u64, size as u64, &longer), Some(expected));
                if let Some((_, shorter)) = proof.split_last() {
                    let found = root(leaves[index], index as u64, size as u64, shorter);
                    assert_ne!(found, Some(expected));
                }
            }
        }
    }
}
