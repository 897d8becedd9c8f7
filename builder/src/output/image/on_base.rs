//! The config of an image on a base: what the recipe does not say is as the base has it.

use serde_json::{Map, Value, json};

use crate::exec::BaseImage;

/// Joins the base's config into `configuration`, which is what the recipe alone would make.
pub(super) fn join(configuration: &mut Value, base: &BaseImage) {
    let own = configuration["config"].as_object().cloned().unwrap_or_default();
    let below = base.config["config"].as_object().cloned().unwrap_or_default();
    configuration["config"] = Value::Object(execution(below, own));

    let mut diff_ids: Vec<Value> = base.diff_ids.iter().map(|id| json!(id)).collect();
    diff_ids.extend(configuration["rootfs"]["diff_ids"].as_array().cloned().unwrap_or_default());
    configuration["rootfs"]["diff_ids"] = diff_ids.into();

    let mut history = history(base);
    history.extend(configuration["history"].as_array().cloned().unwrap_or_default());
    configuration["history"] = history.into();
    if let Some(author) = base.config.get("author") {
        configuration["author"] = author.clone();
    }
}

/// The execution parameters (image-spec, config.md): single values of the recipe replace those of
/// the base, maps and the environment are joined.
fn execution(mut below: Map<String, Value>, own: Map<String, Value>) -> Map<String, Value> {
    // As a Dockerfile's ENTRYPOINT does: the arguments belong to the program.
    if own.contains_key("Entrypoint") {
        below.remove("Cmd");
    }
    for (key, value) in own {
        let joined = match (key.as_str(), below.remove(&key), value) {
            ("Env", Some(below), value) => environment(&below, &value),
            (
                "ExposedPorts" | "Volumes" | "Labels",
                Some(Value::Object(mut below)),
                Value::Object(own),
            ) => {
                below.extend(own);
                Value::Object(below)
            }
            (_, _, value) => value,
        };
        below.insert(key, joined);
    }
    below.retain(|_, value| !value.is_null());
    below
}

/// The base's variables in its order, the recipe's in place of those of the same name or after
/// them.
fn environment(below: &Value, own: &Value) -> Value {
    let list = |value: &Value| -> Vec<String> {
        let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
    let mut all = list(below);
    for variable in list(own) {
        match all.iter_mut().find(|there| name(there) == name(&variable)) {
            Some(there) => *there = variable,
            None => all.push(variable),
        }
    }
    all.into()
}

/// The base's history, with an entry for every layer: some images have none, and readers pair the
/// entries of an image with its layers.
fn history(base: &BaseImage) -> Vec<Value> {
    let mut history = base.config["history"].as_array().cloned().unwrap_or_default();
    let of_layers = history.iter().filter(|entry| entry["empty_layer"] != true).count();
    for _ in of_layers..base.layers.len() {
        history.push(json!({ "created_by": format!("a layer of {}", base.name) }));
    }
    history
}

#[cfg(test)]
mod tests {
    use treelay_recipes::Digest;

    use super::*;
    use crate::image_store::Descriptor;

    fn base(config: Value) -> BaseImage {
        let layer = |text: &str| Descriptor::new("x", Digest::of(text), 1);
        BaseImage {
            name: "r.example/base:1".to_owned(),
            digest: Digest::of("index"),
            manifest: Digest::of("manifest"),
            config,
            layers: vec![layer("a"), layer("b")],
            diff_ids: vec![Digest::of("A"), Digest::of("B")],
        }
    }

    #[test]
    fn what_the_recipe_says_goes_over_what_the_base_says() {
        let base = base(json!({
            "author": "somebody",
            "config": {
                "User": "7", "Entrypoint": ["/old"], "Cmd": ["x"], "WorkingDir": "/w",
                "Env": ["PATH=/bin", "A=1"], "Labels": {"a": "1", "b": "1"},
                "ExposedPorts": {"1/tcp": {}}, "OnBuild": null, "ArgsEscaped": true,
            },
            "history": [
                {"created_by": "a"}, {"created_by": "ENV", "empty_layer": true},
            ],
        }));
        let mut configuration = json!({
            "config": {
                "Entrypoint": ["/new"], "Env": ["A=2", "Z=3"], "Labels": {"b": "2"},
                "ExposedPorts": {"80/tcp": {}},
            },
            "rootfs": {"type": "layers", "diff_ids": ["own"]},
            "history": [{"created_by": "own"}],
        });
        join(&mut configuration, &base);
        assert_eq!(
            configuration["config"],
            json!({
                "User": "7", "Entrypoint": ["/new"], "WorkingDir": "/w",
                "Env": ["PATH=/bin", "A=2", "Z=3"], "Labels": {"a": "1", "b": "2"},
                "ExposedPorts": {"1/tcp": {}, "80/tcp": {}}, "ArgsEscaped": true,
            })
        );
        let by: Vec<_> = configuration["history"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["created_by"])
            .collect();
        assert_eq!(by, ["a", "ENV", "a layer of r.example/base:1", "own"]);
        let ids = configuration["rootfs"]["diff_ids"].as_array().unwrap();
        assert_eq!((ids.len(), &ids[2]), (3, &json!("own")));
        assert_eq!(configuration["author"], "somebody");
    }
}
