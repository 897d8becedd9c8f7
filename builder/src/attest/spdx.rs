//! SPDX 2.3: every file, and the packages around them.
//!
//! The image (or commit) *contains* a package for each layer of the recipe and every package that
//! was found. A layer's package contains its files; those of a Go distribution are its own
//! package's. Both have a verification code, from which a reader can tell that no file was
//! forgotten.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};
use treelay_recipes::{Digest, rfc3339};

use super::inventory::{Inventory, Package, PackageKind};
use super::sbom::{Described, Form};

/// SHA-1 of contents, in hex, by their SHA-256. SPDX 2.3 (section 8.4) asks for it of every file.
pub type Sha1s = BTreeMap<Digest, String>;

/// What stands where nothing is known.
const UNKNOWN: &str = "NOASSERTION";

/// The document. `sums` has every file of the inventory; one that is missing gives a document that
/// is not valid.
pub fn document(of: &Described, inventory: &Inventory, sums: &Sha1s, treelay: &str) -> Value {
    let root = "SPDXRef-Root".to_owned();
    let mut relations = vec![relation("SPDXRef-DOCUMENT", "DESCRIBES", &root)];
    let mut files_of: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut files = Vec::new();
    for file in &inventory.files {
        let id = id("File", &file.path);
        let owner = match &file.package {
            Some(purl) => self::id("Package", purl),
            None => layer_id(file.layer),
        };
        let sha1 = sums.get(&file.digest).map_or("", String::as_str);
        relations.push(relation(&owner, "CONTAINS", &id));
        files_of.entry(owner).or_default().push(sha1);
        files.push(json!({
            "SPDXID": id,
            "fileName": format!("./{}", file.path),
            "checksums": [
                { "algorithm": "SHA1", "checksumValue": sha1 },
                { "algorithm": "SHA256", "checksumValue": file.digest.hex() },
            ],
        }));
    }
    let mut packages = vec![described(of, &root)];
    let mut add = |mut package: Value, id: &str| {
        if let Some(files) = files_of.get(id) {
            package["filesAnalyzed"] = json!(true);
            let code = verification_code(files);
            package["packageVerificationCode"] = json!({ "packageVerificationCodeValue": code });
        }
        relations.push(relation(&root, "CONTAINS", id));
        packages.push(package);
    };
    for (at, name) in inventory.layers.iter().enumerate() {
        let id = layer_id(at);
        let name = format!("{} layer {name}", of.name);
        add(
            json!({
                "SPDXID": id,
                "name": name,
                "downloadLocation": UNKNOWN,
                "filesAnalyzed": false,
            }),
            &id,
        );
    }
    if let Some(system) = &inventory.system {
        let id = id("System", &system.id);
        let mut package = json!({
            "SPDXID": id,
            "name": system.id,
            "downloadLocation": UNKNOWN,
            "filesAnalyzed": false,
            "primaryPackagePurpose": "OPERATING-SYSTEM",
        });
        if !system.version.is_empty() {
            package["versionInfo"] = json!(system.version);
        }
        add(package, &id);
    }
    for package in &inventory.packages {
        let id = id("Package", &package.purl);
        add(self::package(package, &id), &id);
    }
    for package in &inventory.packages {
        let from = id("Package", &package.purl);
        let needs = package.needs.iter().map(|needed| id("Package", needed));
        relations.extend(needs.map(|needed| relation(&from, "DEPENDS_ON", &needed)));
    }
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{} {} {}", of.name, of.version, of.arch),
        "documentNamespace": format!("urn:treelay:spdx:{}", of.identity("spdx").hex()),
        "creationInfo": {
            "created": rfc3339(of.epoch),
            "creators": [format!("Tool: treelay-{treelay}")],
        },
        "packages": packages,
        "files": files,
        "relationships": relations,
    });
    let mut remarks: Vec<String> =
        inventory.gaps.iter().map(|gap| format!("Not listed: {gap}.")).collect();
    if let Some((name, digest)) = &of.base {
        remarks
            .insert(0, format!("Files of the base {name} ({digest}) are not listed one by one."));
    }
    if !remarks.is_empty() {
        document["comment"] = json!(remarks.join("\n"));
    }
    document
}

fn described(of: &Described, id: &str) -> Value {
    let image = matches!(of.form, Form::Image(_));
    json!({
        "SPDXID": id,
        "name": of.name,
        "versionInfo": of.version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "primaryPackagePurpose": if image { "CONTAINER" } else { "OTHER" },
        "checksums": [{ "algorithm": "SHA256", "checksumValue": of.digest().hex() }],
        "externalRefs": [reference("PACKAGE-MANAGER", "purl", &of.purl())],
    })
}

fn package(package: &Package, id: &str) -> Value {
    let mut references = vec![reference("PACKAGE-MANAGER", "purl", &package.purl)];
    references.extend(package.cpe.iter().map(|cpe| reference("SECURITY", "cpe23Type", cpe)));
    let mut found = json!({
        "SPDXID": id,
        "name": package.name,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "primaryPackagePurpose": match package.kind {
            PackageKind::Application => "APPLICATION",
            PackageKind::Library => "LIBRARY",
            PackageKind::Data => "OTHER",
        },
        "externalRefs": references,
    });
    if let Some(version) = &package.version {
        found["versionInfo"] = json!(version);
    }
    match package.licence.as_deref() {
        Some(known @ "BSD-3-Clause") => found["licenseDeclared"] = json!(known),
        // A distribution's own words may be no expression of SPDX's.
        Some(other) => found["licenseComments"] = json!(other),
        None => {}
    }
    if let Some(file) = &package.file {
        let sum = json!({ "algorithm": "SHA256", "checksumValue": file.hex() });
        found["checksums"] = json!([sum]);
    }
    let found_at: Vec<String> = package.found.iter().map(|path| format!("/{path}")).collect();
    if !found_at.is_empty() {
        found["sourceInfo"] = json!(format!("found in {}", found_at.join(", ")));
    }
    if let Some(sum) = &package.sum {
        found["comment"] = json!(format!("go.sum: {sum}"));
    }
    found
}

fn relation(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

fn reference(category: &str, kind: &str, locator: &str) -> Value {
    json!({
        "referenceCategory": category,
        "referenceType": kind,
        "referenceLocator": locator,
    })
}

/// An identifier, which may hold letters, digits, `.` and `-` alone, of anything.
fn id(kind: &str, of: &str) -> String {
    format!("SPDXRef-{kind}-{}", &Digest::of(of).hex()[..20])
}

fn layer_id(at: usize) -> String {
    format!("SPDXRef-Layer-{at}")
}

/// SPDX 2.3, section 7.9: SHA-1 over the sorted SHA-1 of the files.
fn verification_code(files: &[&str]) -> String {
    let mut sorted = files.to_vec();
    sorted.sort_unstable();
    hex::encode(Sha1::digest(sorted.concat()))
}
