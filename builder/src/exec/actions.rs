//! What the plan's layers need to be made by processes: the actions that the store has no result
//! of are carried out, several at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use treelay_layers::kinds::{self, Given, Item, Kind, KindError, LayerOf, Need};
use treelay_layers::{ContentSink as _, Tree};
use treelay_recipes::recipe::Input;
use treelay_recipes::{Arch, Digest, Lock};

use super::{ActionError, ExecError, Workshop};
use crate::plan::{Expanded, Plan, PlannedLayer, PlannedNeed};
use crate::sources::{Everything, Sources};
use crate::store::StoreSink;

/// The kind of product that remembers the outputs of an action, by the digest of the action.
const OUTPUTS: &str = "action";

/// What layers are made of, while a plan is carried out.
#[derive(Default)]
pub(super) struct Materials {
    /// Trees of inputs, by name and arch.
    inputs: BTreeMap<(String, Arch), Arc<Tree>>,
    /// What actions made, by the key of the layer.
    outputs: BTreeMap<Digest, Arc<Tree>>,
}

/// What one layer is made of, in the order of its needs; then what its action made.
pub(super) struct Gathered {
    trees: Vec<Option<Arc<Tree>>>,
    outputs: Option<Arc<Tree>>,
}

/// An action that has to be carried out, and the layer that it is for.
struct Task<'p> {
    planned: &'p PlannedLayer,
    gathered: Gathered,
    digest: Digest,
}

impl Workshop<'_> {
    /// Carries out every action of the layers that the store does not remember, unless it remembers
    /// what came of it.
    pub(super) async fn act(
        &self,
        plan: &Plan,
        expanded: &Expanded,
        lock: &Lock,
        sources: &Sources,
    ) -> Result<Materials, ExecError> {
        let mut materials = Materials::default();
        let mut tasks: Vec<Task<'_>> = Vec::new();
        for planned in &plan.layers {
            let Some(kind) = kind_of(planned, expanded) else { continue };
            if !kind.acts() || self.remembered(planned).is_some() {
                continue;
            }
            let gathered = self.gather(planned, expanded, lock, sources, &mut materials).await?;
            let Some(digest) = self.action_of(planned, &kind, &gathered, sources)? else {
                continue;
            };
            match self.outputs(&digest) {
                Some(outputs) => drop(materials.outputs.insert(planned.key, outputs)),
                None => tasks.push(Task { planned, gathered, digest }),
            }
        }
        let mut first: Vec<&Task<'_>> = Vec::new();
        for task in &tasks {
            if !first.iter().any(|other| other.digest == task.digest) {
                first.push(task);
            }
        }
        let running = first.iter().map(|task| async move {
            let outputs = self.carry_out(task, expanded, sources).await?;
            Ok::<_, ExecError>((task.digest, outputs))
        });
        let mut running = futures_util::stream::iter(running).buffer_unordered(self.jobs.max(1));
        let mut made = BTreeMap::new();
        while let Some(done) = running.next().await {
            let (digest, outputs) = done?;
            made.insert(digest, outputs);
        }
        drop(running);
        for task in tasks {
            let outputs = made.get(&task.digest).cloned();
            materials.outputs.extend(outputs.map(|outputs| (task.planned.key, outputs)));
        }
        Ok(materials)
    }

    /// The digest of a layer's action.
    fn action_of(
        &self,
        planned: &PlannedLayer,
        kind: &dyn Kind,
        gathered: &Gathered,
        sources: &Sources,
    ) -> Result<Option<Digest>, ExecError> {
        let contents = Everything { sources, store: self.store };
        let items = gathered.items(planned, kind, sources)?;
        let given = Given { items: &items, contents: &contents };
        let action = kind.action(planned.arch, self.machine_for(planned)?, &given);
        Ok(action.map_err(|source| failed(planned, source))?.map(|action| action.digest()))
    }

    /// Carries an action out, and remembers what came of it.
    async fn carry_out(
        &self,
        task: &Task<'_>,
        expanded: &Expanded,
        sources: &Sources,
    ) -> Result<Arc<Tree>, ExecError> {
        let name = format!("building {} for {}", task.planned.name, task.planned.arch);
        self.observer.begin(&name);
        let outputs = self.start(task, expanded, sources).await;
        self.observer.end(&name);
        let outputs = outputs?;
        self.remember_outputs(&task.digest, &outputs)?;
        Ok(Arc::new(outputs))
    }

    /// Remembers what an action made.
    pub(super) fn remember_outputs(&self, action: &Digest, made: &Tree) -> Result<(), ExecError> {
        let tree = self.keep_tree(made)?;
        self.store
            .put_product(OUTPUTS, action, &tree)
            .map_err(ExecError::store("remembering what was built"))
    }

    /// What an executor makes of an action.
    async fn start(
        &self,
        task: &Task<'_>,
        expanded: &Expanded,
        sources: &Sources,
    ) -> Result<Tree, ExecError> {
        let planned = task.planned;
        let contents = Everything { sources, store: self.store };
        let not_given = || failed(planned, KindError::NotGiven { at: 0 });
        let kind = kind_of(planned, expanded).ok_or_else(not_given)?;
        let items = task.gathered.items(planned, &kind, sources)?;
        let given = Given { items: &items, contents: &contents };
        let action = kind.action(planned.arch, self.machine_for(planned)?, &given);
        let action = action.map_err(|source| failed(planned, source))?.ok_or_else(not_given)?;
        if let Some(content) = kind.brings() {
            StoreSink::new(self.store)
                .put(&mut content.as_bytes())
                .map_err(ExecError::store("keeping what a build needs"))?;
        }
        self.executor.execute(&action, &contents).await.map_err(|source| {
            let mend = |mended, tree: &Arc<Tree>| self.mend_contents(tree, sources) || mended;
            // What it was to see may have been damaged in the store.
            if matches!(source, ActionError::Input { .. })
                && task.gathered.trees.iter().flatten().fold(false, mend)
            {
                return ExecError::Damaged { what: format!("an input of layer {}", planned.name) };
            }
            let source = match source {
                ActionError::Failed { output } => {
                    let hint = kind.explain(&output).map(|hint| format!("\nhint: {hint}"));
                    ActionError::Failed { output: output + &hint.unwrap_or_default() }
                }
                other => other,
            };
            ExecError::Action { layer: planned.name.clone(), arch: planned.arch, source }
        })
    }

    /// What an action made, if the store remembers it and has it.
    pub(super) fn outputs(&self, action: &Digest) -> Option<Arc<Tree>> {
        let tree = self.store.product(OUTPUTS, action)?;
        let tree = self.store.tree(&tree).filter(|tree| self.has_contents(tree))?;
        Some(Arc::new(tree))
    }

    fn machine_for(&self, planned: &PlannedLayer) -> Result<Arch, ExecError> {
        self.machine.ok_or_else(|| ExecError::NoMachine { layer: planned.name.clone() })
    }

    /// Gets what a layer is made of.
    pub(super) async fn gather(
        &self,
        planned: &PlannedLayer,
        expanded: &Expanded,
        lock: &Lock,
        sources: &Sources,
        materials: &mut Materials,
    ) -> Result<Gathered, ExecError> {
        let mut trees = Vec::new();
        for need in &planned.needs {
            let (name, arch) = match need {
                PlannedNeed::Input { name, .. } => (name, planned.arch),
                PlannedNeed::Toolchain { name, .. } => (name, self.machine_for(planned)?),
                _ => {
                    trees.push(None);
                    continue;
                }
            };
            let key = (name.clone(), arch);
            if !materials.inputs.contains_key(&key) {
                let locked = lock.input(name, arch).ok_or_else(|| ExecError::NoToolchain {
                    layer: planned.name.clone(),
                    input: name.clone(),
                    machine: arch,
                })?;
                // On another arch it may have another place.
                let Some(recipe) = expanded.get(&arch) else { continue };
                let of = match recipe.inputs.get(name) {
                    Some(Input::GoModules(modules)) => modules.input.as_ref(),
                    _ => None,
                };
                let of = of.and_then(|of| lock.input(of, arch));
                let tree = self.input_tree(recipe, locked, of, sources).await?;
                materials.inputs.insert(key.clone(), Arc::new(tree));
            }
            trees.push(materials.inputs.get(&key).cloned());
        }
        let outputs = materials.outputs.get(&planned.key).cloned();
        Ok(Gathered { trees, outputs })
    }
}

impl Gathered {
    /// As the kind is given it.
    pub(super) fn items<'t>(
        &'t self,
        planned: &'t PlannedLayer,
        kind: &dyn Kind,
        sources: &'t Sources,
    ) -> Result<Vec<Item<'t>>, ExecError> {
        let needs = kind.needs(planned.arch).map_err(|source| failed(planned, source))?;
        let mut items = Vec::new();
        for (at, (need, planned)) in needs.iter().zip(&planned.needs).enumerate() {
            items.extend(match (need, planned) {
                (_, PlannedNeed::Input { .. } | PlannedNeed::Toolchain { .. }) => {
                    self.trees.get(at).and_then(Option::as_deref).map(Item::Tree)
                }
                (_, PlannedNeed::LocalFile { digest, size, executable, .. }) => {
                    Some(Item::File { digest: *digest, size: *size, executable: *executable })
                }
                (Need::LocalDir { path, exclude }, PlannedNeed::LocalDir { .. }) => {
                    sources.dir(path, exclude).map(|dir| Item::Tree(dir.tree))
                }
                _ => None,
            });
        }
        items.extend(self.outputs.as_deref().map(Item::Tree));
        Ok(items)
    }

    /// The trees of which contents are in the store.
    pub(super) fn trees(&self) -> impl Iterator<Item = &Tree> {
        self.trees.iter().flatten().chain(&self.outputs).map(|tree| &**tree)
    }
}

/// The kind of a planned layer, with its options.
pub(super) fn kind_of<'e>(planned: &PlannedLayer, expanded: &'e Expanded) -> Option<LayerOf<'e>> {
    let recipe = expanded.get(&planned.arch)?;
    kinds::of_layer(recipe.layers.get(planned.index)?)
}

pub(super) fn failed(planned: &PlannedLayer, source: KindError) -> ExecError {
    ExecError::Layer { layer: planned.name.clone(), arch: planned.arch, source }
}
