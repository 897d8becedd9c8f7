//! `/etc/selinux/config`: whether there is a policy to label by, and which.

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// `SELINUX=enforcing` or `permissive`. ostree labels nothing where it says anything else, or
    /// nothing.
    pub enabled: bool,
    /// `SELINUXTYPE=`: the folder of the policy beside the file.
    pub policy: Option<String>,
}

impl Config {
    /// Reads it as ostree does: keys at the beginning of the line, the last one of a key counts,
    /// except that one `SELINUX=enforcing` or `permissive` is enough. Never fails.
    pub fn parse(text: &str) -> Self {
        let mut config = Self::default();
        for line in text.lines() {
            if let Some(policy) = line.strip_prefix("SELINUXTYPE=") {
                let policy = policy.trim();
                config.policy = (!policy.is_empty()).then(|| policy.to_owned());
            } else if let Some(mode) = line.strip_prefix("SELINUX=") {
                let mode = mode.to_ascii_lowercase();
                config.enabled |= mode.starts_with("enforcing") || mode.starts_with("permissive");
            }
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn as_ostree_reads_it() {
        for (text, enabled, policy) in [
            ("", false, None),
            ("SELINUX=enforcing\nSELINUXTYPE=targeted\n", true, Some("targeted")),
            ("# SELINUX=disabled\nSELINUX=Permissive \nSELINUXTYPE= mls \n", true, Some("mls")),
            ("SELINUX=disabled\nSELINUXTYPE=targeted", false, Some("targeted")),
            (" SELINUX=enforcing\nSELINUXTYPE=\n", false, None),
            ("SELINUX= enforcing\nSELINUXTYPE=a\nSELINUXTYPE=b\n", false, Some("b")),
        ] {
            let expected = Config { enabled, policy: policy.map(str::to_owned) };
            assert_eq!(Config::parse(text), expected, "{text:?}");
        }
    }
}
