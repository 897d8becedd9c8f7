//! The same work for several things, on several threads.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::runtime::{Handle, RuntimeFlavor};

/// What `work` makes of each of `items`, in their order, on at most `threads` threads.
pub(crate) fn in_parallel<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let some = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return done };
            done.push((at, work(item)));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let others = threads.min(items.len()).saturating_sub(1);
        let others: Vec<_> = (0..others).map(|_| scope.spawn(some)).collect();
        let mut done = some();
        for thread in others {
            done.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// What `work` makes of each of `items`, in their order, each on a thread of its own: what one computes
/// between its questions to servers keeps none of the others from theirs.
pub(crate) async fn beside_each_other<T: Send, R: Send, F: Future<Output = R>>(
    items: Vec<T>,
    work: impl Fn(T) -> F + Sync,
) -> Vec<R> {
    let runtime = Handle::current();
    // A runtime of one thread has none to give away.
    if items.len() < 2 || runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return join_all(items.into_iter().map(work)).await;
    }
    let (runtime, work) = (&runtime, &work);
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let run = |item| scope.spawn(move || runtime.block_on(work(item)));
            let threads: Vec<_> = items.into_iter().map(run).collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined
                .map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{beside_each_other, in_parallel};

    #[test]
    fn results_are_in_order() {
        let items: Vec<u32> = (0..100).collect();
        let expected: Vec<u32> = items.iter().map(|n| n * 2).collect();
        for threads in [0, 1, 3, 200] {
            assert_eq!(in_parallel(threads, &items, |n| n * 2), expected);
        }
        assert_eq!(in_parallel(4, &[], |n: &u32| *n), [0; 0]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn jobs_that_compute_do_not_wait_for_each_other() {
        let barrier = std::sync::Barrier::new(3);
        let work = async |n: u32| {
            // Would wait for ever on one thread.
            barrier.wait();
            tokio::task::yield_now().await;
            n * 2
        };
        assert_eq!(beside_each_other(vec![0, 1, 2], work).await, [0, 2, 4]);
    }

    #[tokio::test]
    async fn one_thread_does_them_too() {
        assert_eq!(beside_each_other(vec![1, 2], async |n| n * 2).await, [2, 4]);
    }
}
