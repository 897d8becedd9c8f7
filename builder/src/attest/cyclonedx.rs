//! CycloneDX 1.6 (ECMA-424): what scanners read.
//!
//! Packages are components with their package URL, their licence where it is known, and the paths
//! where they were found; what they need stands in `dependencies`. Files of the recipe's layers are
//! components too, except those of a Go distribution that are no programs: there are 12,000 of them,
//! the distribution's own component stands for them, and the SPDX document lists each.

use serde_json::{Value, json};
use treelay_recipes::{Digest, rfc3339};

use super::inventory::{Inventory, ListedFile, Package, PackageKind};
use super::sbom::{Described, Form};

/// The document.
pub fn document(of: &Described, inventory: &Inventory, treelay: &str) -> Value {
    let root = of.purl();
    let mut components: Vec<Value> = inventory.packages.iter().map(component).collect();
    if let Some(system) = &inventory.system {
        let mut component = json!({
            "type": "operating-system",
            "bom-ref": format!("system:{}", system.id),
            "name": system.id,
        });
        if !system.version.is_empty() {
            component["version"] = json!(system.version);
        }
        if !system.title.is_empty() {
            component["description"] = json!(system.title);
        }
        components.push(component);
    }
    let files = inventory.files.iter().filter(|file| file.is_program || file.package.is_none());
    components.extend(files.map(|file| self::file(file, inventory)));
    let mut dependencies: Vec<Value> = inventory
        .packages
        .iter()
        .filter(|package| !package.needs.is_empty())
        .map(|package| json!({ "ref": package.purl, "dependsOn": package.needs }))
        .collect();
    let all: Vec<&str> = inventory.packages.iter().map(|package| &*package.purl).collect();
    dependencies.insert(0, json!({ "ref": root, "dependsOn": all }));
    // What is not looked into, and what may be in a base under no package's name, is not known.
    let whole = inventory.gaps.is_empty() && of.base.is_none();
    let mut subject = json!({
        "type": match of.form { Form::Image(_) => "container", Form::Commit(_) => "platform" },
        "bom-ref": root,
        "name": of.name,
        "version": of.version,
        "purl": root,
        "hashes": [{ "alg": "SHA-256", "content": of.digest().hex() }],
    });
    let base = of.base.iter().map(|(name, digest)| property("base", &format!("{name} {digest}")));
    let gaps = inventory.gaps.iter().map(|gap| property("not-listed", gap));
    let properties: Vec<Value> = base.chain(gaps).collect();
    if !properties.is_empty() {
        subject["properties"] = json!(properties);
    }
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", uuid(&of.identity("cyclonedx"))),
        "version": 1,
        "metadata": {
            "timestamp": rfc3339(of.epoch),
            "tools": {
                "components": [{ "type": "application", "name": "treelay", "version": treelay }],
            },
            "component": subject,
        },
        "components": components,
        "dependencies": dependencies,
        "compositions": [{
            "aggregate": if whole { "complete" } else { "incomplete" },
            "assemblies": [root],
        }],
    })
}

fn property(name: &str, value: &str) -> Value {
    json!({ "name": format!("treelay:{name}"), "value": value })
}

fn component(package: &Package) -> Value {
    let mut component = json!({
        "type": match package.kind {
            PackageKind::Application => "application",
            PackageKind::Library => "library",
            PackageKind::Data => "data",
        },
        "bom-ref": package.purl,
        "name": package.name,
        "purl": package.purl,
    });
    if let Some(version) = &package.version {
        component["version"] = json!(version);
    }
    if let Some(cpe) = &package.cpe {
        component["cpe"] = json!(cpe);
    }
    if let Some(licence) = &package.licence {
        let licence = match licence.as_str() {
            // The only one that treelay says itself; others' words may be no names of SPDX's.
            known @ "BSD-3-Clause" => json!({ "id": known }),
            other => json!({ "name": other }),
        };
        component["licenses"] = json!([{ "license": licence }]);
    }
    if let Some(file) = &package.file {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": file.hex() }]);
    }
    if let Some(sum) = &package.sum {
        component["properties"] = json!([property("go-sum", sum)]);
    }
    if !package.found.is_empty() {
        let places: Vec<Value> =
            package.found.iter().map(|path| json!({ "location": format!("/{path}") })).collect();
        component["evidence"] = json!({ "occurrences": places });
    }
    component
}

fn file(file: &ListedFile, inventory: &Inventory) -> Value {
    let layer = inventory.layers.get(file.layer).map_or("", String::as_str);
    json!({
        "type": "file",
        "bom-ref": format!("file:/{}", file.path),
        "name": format!("/{}", file.path),
        "hashes": [{ "alg": "SHA-256", "content": file.digest.hex() }],
        "properties": [property("layer", layer)],
    })
}

/// A UUID of version 8 (RFC 9562), whose bits are ours to choose.
fn uuid(digest: &Digest) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
