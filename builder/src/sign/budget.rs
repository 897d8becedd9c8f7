//! [`Budget`]: how much of what strangers put beside an image is read.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes beside one image: its manifests' own are counted elsewhere. A thousand manifests with both
/// forms of a signature by several keys each come nowhere near it.
const IMAGE: u64 = 64 << 20;

/// Bytes beside one subject, so that what is beside one does not hide what is beside the others.
const SUBJECT: u64 = 16 << 20;

/// Bytes of manifests and payloads that may still be read.
///
/// What is taken is not given back. Reads that are under way when nothing is left end, so that the
/// bound is passed by no more than those.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicU64,
}

impl Budget {
    /// For one image.
    pub(super) fn of_image() -> Self {
        Self { left: AtomicU64::new(IMAGE) }
    }

    /// For one subject of it.
    pub(super) fn of_subject(&self) -> Share<'_> {
        Share { image: self, left: AtomicU64::new(SUBJECT) }
    }
}

/// What one subject has of a [`Budget`].
#[derive(Debug)]
pub(super) struct Share<'a> {
    image: &'a Budget,
    left: AtomicU64,
}

impl Share<'_> {
    /// Takes bytes before they are read.
    ///
    /// # Errors
    /// [`Spent`] where so many are not left; then nothing is taken.
    pub(super) fn take(&self, bytes: u64) -> Result<(), Spent> {
        let take = |left: &AtomicU64| {
            let less = |left: u64| left.checked_sub(bytes);
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).map_err(|_| ())
        };
        take(&self.left).map_err(|()| Spent { of: "it", bound: SUBJECT })?;
        take(&self.image.left).map(drop).map_err(|()| {
            self.left.fetch_add(bytes, Ordering::Relaxed);
            Spent { of: "the image", bound: IMAGE }
        })
    }

    /// Counts bytes that are read already, because they were more than was said.
    pub(super) fn count(&self, bytes: u64) {
        for left in [&self.left, &self.image.left] {
            let less = |left: u64| Some(left.saturating_sub(bytes));
            let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }
}

/// That no more is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not looked at: more than {} MiB are beside {of}", .bound >> 20)]
pub(super) struct Spent {
    of: &'static str,
    bound: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_bounded_for_a_subject_and_for_all() {
        let budget = Budget::of_image();
        let first = budget.of_subject();
        assert_eq!(first.take(SUBJECT), Ok(()));
        assert!(first.take(1).unwrap_err().to_string().contains("16 MiB are beside it"));
        // What one has used up, others still have.
        let others: Vec<_> = (1..IMAGE / SUBJECT).map(|_| budget.of_subject()).collect();
        assert!(others.iter().all(|share| share.take(SUBJECT) == Ok(())));
        let last = budget.of_subject();
        let spent = last.take(1).unwrap_err();
        assert!(spent.to_string().contains("64 MiB are beside the image"), "{spent}");
        assert_eq!(last.take(0), Ok(()));
        // What was said too small is counted all the same.
        let budget = Budget::of_image();
        let share = budget.of_subject();
        share.count(SUBJECT - 1);
        assert_eq!(share.take(1), Ok(()));
        assert!(share.take(1).is_err());
        share.count(u64::MAX);
        assert!(budget.of_subject().take(1).is_err());
    }
}
