//! Several builds on one store at once.

use std::fs;

use crate::recipe::{build, digests, prepared, store};

#[test]
fn builds_at_once_make_what_one_makes() {
    let env = prepared();
    let alone = ["all", "few"].map(|name| {
        let (image, repo) = (format!("oci:{name}"), format!("ostree:{name}-repo"));
        (name, digests(&build(&env, name, &[&image, &repo]).ok().json()))
    });
    for count in [2, 8] {
        for kinds in [1, 2] {
            fs::remove_dir_all(store(&env)).unwrap();
            let running: Vec<_> = (0..count)
                .map(|n| {
                    let (name, expected) = &alone[n % kinds];
                    let image = format!("oci:{count}-{kinds}-{n}");
                    let repo = format!("ostree:{count}-{kinds}-{n}-repo");
                    (expected, build(&env, name, &[&image, &repo]).spawn())
                })
                .collect();
            for (expected, child) in running {
                let output = child.wait_with_output().unwrap();
                let said = String::from_utf8(output.stderr).unwrap();
                assert!(output.status.success(), "{said}");
                let report = serde_json::from_slice(&output.stdout).unwrap();
                assert_eq!(digests(&report), *expected);
            }
            env.treelay(["store", "verify"]).ok();
        }
    }
}

#[test]
fn builds_at_once_can_write_to_one_place() {
    let env = prepared();
    let outputs = ["oci:image:1", "ostree:repo"];
    let running: Vec<_> = (0..4).map(|_| build(&env, "few", &["oci:image:1"]).spawn()).collect();
    for child in running {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
    }
    let again = build(&env, "few", &outputs).ok();
    assert_eq!(
        env.treelay(["inspect", "oci:image:1", "--json"]).ok().json()["digest"],
        again.json()["index"]["digest"]
    );
}
