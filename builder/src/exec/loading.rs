//! Whether what layers bring can be loaded in the image that they make, on their base.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use treelay_layers::elf::Program;
use treelay_layers::loading::{Dynamic, Image, dynamic};
use treelay_layers::{Contents as _, Tree};
use treelay_recipes::recipe::ElfCheck;
use treelay_recipes::{Arch, Digest};

use super::{BaseImage, Bases, BuiltLayer, ExecError, Layers, Workshop};
use crate::plan::Expanded;
use crate::sources::{Everything, Sources};

/// The kind of product that remembers what was found, which is what has to be told.
const LOADING: &str = "loading";

/// A layer whose files are looked at, and those of them that have to be loaded.
struct Checked<'l> {
    layer: &'l BuiltLayer,
    files: Vec<Dynamic>,
}

impl Workshop<'_> {
    /// Looks at every dynamic program and library of layers as they lie on their bases. What cannot
    /// be loaded from scratch is told to the observer: it may be for whoever takes the layers.
    ///
    /// # Errors
    /// [`ExecError::Unloadable`] for what cannot be loaded on a base.
    pub fn check_loading(
        &self,
        layers: &Layers<'_>,
        bases: &Bases,
        expanded: &Expanded,
        sources: &Sources,
    ) -> Result<(), ExecError> {
        for (arch, of_arch) in &layers.by_arch {
            let base = bases.get(arch);
            let is_checked = |layer: &BuiltLayer| {
                let recipe = expanded.get(arch).map(|recipe| recipe.layers.as_slice());
                let mut same = recipe.unwrap_or_default().iter();
                let said = same.find(|said| said.name.value == layer.name).map(|said| said.elf);
                said != Some(ElfCheck::Unchecked)
            };
            let mut key = format!("loading-1 {arch}");
            key +=
                &base.map_or(String::new(), |base| format!(" {} {:?}", base.manifest, base.name));
            for layer in of_arch {
                let mark = if is_checked(layer) { "" } else { "-" };
                key += &format!(" {mark}{} {:?}", layer.tree, layer.name);
            }
            let key = Digest::of(key);
            let told: Vec<String> = match self.store.product(LOADING, &key) {
                Some(told) => told,
                None => {
                    let checked = of_arch.iter().filter(|layer| is_checked(layer)).collect();
                    let told = self.look_at(*arch, checked, layers, base, sources)?;
                    let remembering = ExecError::store("remembering what can be loaded");
                    self.store.put_product(LOADING, &key, &told).map_err(remembering)?;
                    told
                }
            };
            told.iter().for_each(|text| self.observer.note(&format!("{arch}: {text}")));
        }
        Ok(())
    }

    fn look_at(
        &self,
        arch: Arch,
        checked: Vec<&BuiltLayer>,
        layers: &Layers<'_>,
        base: Option<&BaseImage>,
        sources: &Sources,
    ) -> Result<Vec<String>, ExecError> {
        let contents = Everything { sources, store: self.store };
        let mut files = Vec::new();
        for layer in checked {
            let tree = layers.tree(&layer.tree)?;
            let found = dynamic(&tree, arch, &contents).map_err(|(path, source)| {
                match self.mend_layer(layer, &tree, sources) {
                    true => ExecError::Damaged { what: format!("/{path}") },
                    false => ExecError::Reading { path: format!("/{path}"), source },
                }
            })?;
            files.push(Checked { layer, files: found });
        }
        if files.iter().all(|layer| layer.files.is_empty()) {
            return Ok(Vec::new());
        }
        let lower = base.map(|base| self.base_tree(base)).transpose()?;
        let of_arch = layers.by_arch.get(&arch).map(Vec::as_slice).unwrap_or_default();
        let own = of_arch.iter().map(|layer| layers.tree(&layer.tree));
        let own: Vec<Arc<Tree>> = own.collect::<Result<_, _>>()?;
        let trees = lower.iter().chain(&own).map(|tree| &**tree).collect();
        let image = Image::new(arch, base.map(|base| base.name.as_str()), trees);

        let all = files.iter().flat_map(|layer| &layer.files);
        let libraries: BTreeMap<(Digest, u64), String> =
            all.flat_map(|file| image.libraries(file)).collect();
        if let (Some(base), Some(lower)) = (base, &lower) {
            // What the layers bring themselves is read where it is.
            let of_layers = |digest: &Digest| {
                let entries = own.iter().flat_map(|tree| tree.entries());
                entries.filter_map(|entry| entry.file()).any(|(own, _)| own == digest)
            };
            let wanted: BTreeSet<Digest> =
                libraries.keys().map(|(digest, _)| *digest).filter(|it| !of_layers(it)).collect();
            self.base_contents(base, lower, &wanted)?;
        }
        let mut provides = BTreeMap::new();
        for ((digest, size), path) in &libraries {
            match Program::read_loaded(&|| contents.open(digest, *size)) {
                Ok(library) => drop(provides.insert(*digest, library.provides)),
                // No library after all: a script of the linker's, say.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(source) => {
                    return Err(ExecError::Reading { path: format!("/{path}"), source });
                }
            }
        }

        let mut problems = Vec::new();
        for Checked { layer, files } in &files {
            let refused = files.iter().filter_map(|file| image.problem(file, &provides));
            problems.extend(refused.map(|it| format!("layer {:?}: {it}", layer.name)));
        }
        match problems.is_empty() || base.is_none() {
            true => Ok(problems),
            false => Err(ExecError::Unloadable { arch, problems }),
        }
    }
}
