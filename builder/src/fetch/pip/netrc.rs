//! Logins from a netrc file, as curl and pip use it.

/// The logins of a file, in its order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Netrc(Vec<Machine>);

#[derive(Clone, PartialEq, Eq)]
struct Machine {
    /// `None` for `default`.
    host: Option<String>,
    login: String,
    password: String,
}

impl Netrc {
    /// Reads a file's text. What it does not know it skips: pip, too, goes on without a netrc that
    /// it cannot read.
    pub fn parse(text: &str) -> Self {
        let mut machines: Vec<Machine> = Vec::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let mut words = words(line).into_iter();
            while let Some(word) = words.next() {
                let mut value = || words.next().unwrap_or_default();
                match (word.as_str(), machines.last_mut()) {
                    ("machine", _) => machines.push(Machine::of(Some(value().to_lowercase()))),
                    ("default", _) => machines.push(Machine::of(None)),
                    ("login" | "user", Some(machine)) => machine.login = value(),
                    ("password", Some(machine)) => machine.password = value(),
                    // A macro's text goes on to the next empty line.
                    ("macdef", _) => {
                        lines.by_ref().take_while(|line| !line.trim().is_empty()).for_each(drop);
                        break;
                    }
                    _ => {}
                }
            }
        }
        Self(machines)
    }

    /// Name and password for `host`, which has no port.
    pub fn login(&self, host: &str) -> Option<(&str, &str)> {
        let of = |machine: &&Machine| machine.host.as_deref() == Some(host);
        let default = |machine: &&Machine| machine.host.is_none();
        let machine = self.0.iter().find(of).or_else(|| self.0.iter().find(default))?;
        Some((&machine.login, &machine.password))
    }
}

impl Machine {
    fn of(host: Option<String>) -> Self {
        Self { host, login: String::new(), password: String::new() }
    }
}

/// The words of a line, up to a comment. A word may be quoted, with `\` before what is special.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = match chars.peek() {
            None => return words,
            // A password may begin with #: only a line that begins with it is a comment.
            Some('#') if words.is_empty() => return words,
            Some('"') => chars.next().is_some(),
            Some(_) => false,
        };
        let mut word = String::new();
        while let Some(c) = chars.next() {
            match c {
                '\\' => word.extend(chars.next()),
                '"' if quoted => break,
                c if !quoted && c.is_whitespace() => break,
                c => word.push(c),
            }
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_login_of_a_host() {
        let text = "# machine no login no\nmachine A.example login me password #s3c\\ ret\n\
                    machine b.example\n  login \"you there\"\n  password p\n\
                    macdef init\nmachine evil login x\n\nmachine c.example login c\n\
                    default login anyone password any";
        let netrc = Netrc::parse(text);
        for (host, expected) in [
            ("a.example", ("me", "#s3c ret")),
            ("b.example", ("you there", "p")),
            ("c.example", ("c", "")),
            ("no", ("anyone", "any")),
            ("evil", ("anyone", "any")),
        ] {
            assert_eq!(netrc.login(host), Some(expected), "{host}");
        }
        assert_eq!(Netrc::parse("machine").login("x"), None);
    }
}
