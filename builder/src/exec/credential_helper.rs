//! Credential helpers: programs that keep logins for docker and podman.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::image_store::registry::LoginKind;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Runs `docker-credential-HELPER get`, which reads the server's name and answers in JSON
/// (docker/docker-credential-helpers, "Development").
pub fn ask(helper: &str, server: &str) -> Result<Option<LoginKind>, String> {
    if helper.contains('/') {
        return Err("its name must not contain a slash".to_owned());
    }
    let program = format!("docker-credential-{helper}");
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => format!("{program} is not installed"),
            _ => format!("starting {program}: {error}"),
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input shows by its answer what it wants.
        let _ = stdin.write_all(server.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| format!("running {program}: {error}"))?;
    understand(output.status.success(), &output.stdout, &output.stderr)
}

fn understand(success: bool, stdout: &[u8], stderr: &[u8]) -> Result<Option<LoginKind>, String> {
    if !success {
        // The protocol puts messages on standard output; this one is its way to say "none".
        let said = String::from_utf8_lossy(if stdout.is_empty() { stderr } else { stdout });
        let said = said.trim();
        if said.contains("credentials not found in native keychain") {
            return Ok(None);
        }
        return Err(if said.is_empty() { "it failed".to_owned() } else { said.to_owned() });
    }
    let answer: Answer = serde_json::from_slice(stdout)
        .map_err(|_| "its answer is not JSON with Username and Secret".to_owned())?;
    Ok(match (answer.username.as_str(), answer.secret) {
        ("" | "<token>", secret) if secret.is_empty() => None,
        // The protocol's name for an identity token.
        ("<token>", secret) => Some(LoginKind::IdentityToken(secret)),
        (user, password) => Some(LoginKind::Password { user: user.to_owned(), password }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let ok = |text: &str| understand(true, text.as_bytes(), b"").unwrap();
        assert_eq!(
            ok(r#"{"ServerURL":"h","Username":"u","Secret":"s"}"#),
            Some(LoginKind::Password { user: "u".into(), password: "s".into() })
        );
        let token = ok(r#"{"Username":"<token>","Secret":"s"}"#);
        assert_eq!(token, Some(LoginKind::IdentityToken("s".into())));
        assert_eq!(ok(r#"{"Username":"","Secret":""}"#), None);
        let none = understand(false, b"credentials not found in native keychain\n", b"");
        assert_eq!(none, Ok(None));
        assert_eq!(understand(false, b"", b"locked\n"), Err("locked".to_owned()));
        assert!(!understand(true, b"s3cret", b"").unwrap_err().contains("s3cret"));
        assert!(ask("no-such-helper-here", "h").unwrap_err().contains("not installed"));
        assert!(ask("../x", "h").is_err());
    }
}
