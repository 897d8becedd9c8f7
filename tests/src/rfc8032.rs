//! Ed25519 keys of RFC 8032, section 7.1, in ostree's form: no password, and the same always.

/// Secret keys: seed and public key, in base64.
pub const SECRET: [&str; 3] = [
    "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==",
    "TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs9QBfD6EOJWpK3CqdNG368nJgszy7ElozAzVXxKvRmDA==",
    "xaqN9D+fg3vtt0QvMdy3sWbThTUHbwlLhc46LgtEWPf8Uc2OYhiho42kftACMPBYCBbtE7ozA6xd65EVSJCAJQ==",
];

/// The public keys that belong to them.
pub const PUBLIC: [&str; 3] = [
    "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=",
    "/FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU=",
];

/// The DER of the first public key's SubjectPublicKeyInfo, in base64.
pub const FIRST_SPKI: &str = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// Writes `a.key`, `b.key`, `c.key` and the `.pub` of each.
///
/// # Panics
/// When a file cannot be written.
pub fn write(env: &crate::Env) {
    for (at, name) in ["a", "b", "c"].into_iter().enumerate() {
        env.write(&format!("{name}.key"), format!("{}\n", SECRET[at]));
        env.write(&format!("{name}.pub"), format!("{}\n", PUBLIC[at]));
    }
}
