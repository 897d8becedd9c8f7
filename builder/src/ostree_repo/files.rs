//! The files and links of a tree, and the objects that they become.

use std::collections::HashMap;

use treelay_layers::tree::Tree;
use treelay_recipes::Digest;

use super::content::Job;

/// The files and links of a tree, those that become the same object once.
pub(super) struct Files<'t> {
    /// The key of every entry; `None` for directories.
    keys: Vec<Option<Digest>>,
    pub jobs: HashMap<Digest, Job<'t>>,
    pub objects: HashMap<Digest, Digest>,
}

impl<'t> Files<'t> {
    pub(super) fn of(tree: &'t Tree) -> Self {
        let mut files = Self { keys: Vec::new(), jobs: HashMap::new(), objects: HashMap::new() };
        for entry in tree.entries() {
            let job = Job::of(entry);
            files.keys.push(job.as_ref().map(|job| job.key));
            if let Some(job) = job {
                files.jobs.entry(job.key).or_insert(job);
            }
        }
        files
    }

    pub(super) fn recall(&mut self, recall: impl Fn(&Job<'_>) -> Option<Digest>) {
        self.objects = self
            .jobs
            .iter()
            .filter_map(|(key, job)| recall(job).map(|object| (*key, object)))
            .collect();
    }

    /// The object of an entry by its index, if all are known.
    pub(super) fn all_known(&self) -> Option<impl Fn(usize) -> Digest> {
        let all: Option<Vec<Digest>> = self
            .keys
            .iter()
            .map(|key| match key {
                Some(key) => self.objects.get(key).copied(),
                // No one asks for a directory's.
                None => Some(Digest::from_bytes([0; 32])),
            })
            .collect();
        all.map(|all| move |at: usize| all[at])
    }
}
