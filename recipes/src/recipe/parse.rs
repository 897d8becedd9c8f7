//! From the text of a recipe to a [`Recipe`] that makes sense.

use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, Options};

use super::{At, Recipe, RecipeError};
use crate::error::Problems;
use crate::origin::Origin;
use crate::shape::RECIPE;
use crate::{Scope, check, yaml};

impl Recipe {
    /// Parses and checks the text of a recipe. `file` is its name in messages.
    ///
    /// Texts may be written without quotes and are taken as they stand: `version: 1.20` is the text
    /// `1.20`. Templates stay as they are; [`Recipe::expand`] replaces them.
    ///
    /// # Errors
    /// [`RecipeError`] with every problem that was found. What is no YAML ends the search at once;
    /// what is not a recipe's keys and types ends it before values are looked at.
    pub fn parse(text: &str, file: &str) -> Result<Recipe, RecipeError> {
        let mut problems = Problems::new(file, text);
        match parse(text, file, &mut problems) {
            Some(recipe) if problems.is_empty() => Ok(recipe),
            _ => Err(RecipeError { problems: problems.into_sorted() }),
        }
    }
}

fn parse(text: &str, file: &str, problems: &mut Problems<'_>) -> Option<Recipe> {
    let root = yaml::read(text, problems)?;
    RECIPE.check(&root, problems);
    if !problems.is_empty() {
        return None;
    }
    let mut recipe: Recipe = match serde_saphyr::from_str_with_options(text, options()) {
        Ok(recipe) => recipe,
        Err(error) => {
            // The check above is to find everything; should it let something pass, this names it.
            let error = error.without_snippet();
            let at = error.location().map_or(At::default(), |place| At {
                line: place.line() as u32,
                column: place.column() as u32,
            });
            problems.add(at, 1, error.to_string());
            return None;
        }
    };
    recipe.origin = Origin::new(file, text, &root);
    recipe.name_toolchains();
    check::structure(&recipe, &root, problems);
    // What the values will be is known as far as the recipe itself says it, which is enough to
    // find now what is wrong with them; after locking they are checked again.
    let known = recipe.known();
    for arch in &recipe.arch {
        let expanded = recipe.expand_into(&Scope::new(*arch, &known), problems);
        check::values(&expanded, problems);
    }
    Some(recipe)
}

fn options() -> Options {
    serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 200_000,
            max_replay_stack_depth: 32,
        },
    }
}
