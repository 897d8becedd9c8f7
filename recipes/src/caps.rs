//! File capabilities: the text that `setcap` takes, and the attribute that the kernel reads.

use std::fmt;

/// Linux's capabilities by number (linux/capability.h).
const NAMES: [&str; 41] = [
    "cap_chown",
    "cap_dac_override",
    "cap_dac_read_search",
    "cap_fowner",
    "cap_fsetid",
    "cap_kill",
    "cap_setgid",
    "cap_setuid",
    "cap_setpcap",
    "cap_linux_immutable",
    "cap_net_bind_service",
    "cap_net_broadcast",
    "cap_net_admin",
    "cap_net_raw",
    "cap_ipc_lock",
    "cap_ipc_owner",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_sys_chroot",
    "cap_sys_ptrace",
    "cap_sys_pacct",
    "cap_sys_admin",
    "cap_sys_boot",
    "cap_sys_nice",
    "cap_sys_resource",
    "cap_sys_time",
    "cap_sys_tty_config",
    "cap_mknod",
    "cap_lease",
    "cap_audit_write",
    "cap_audit_control",
    "cap_setfcap",
    "cap_mac_override",
    "cap_mac_admin",
    "cap_syslog",
    "cap_wake_alarm",
    "cap_block_suspend",
    "cap_audit_read",
    "cap_perfmon",
    "cap_bpf",
    "cap_checkpoint_restore",
];

/// What `all` means: the capabilities that have names, whatever kernel treelay runs on.
const ALL: u64 = (1 << NAMES.len()) - 1;

/// VFS_CAP_REVISION_2 and VFS_CAP_FLAGS_EFFECTIVE (linux/capability.h).
const REVISION_2: u32 = 0x0200_0000;
const FLAG_EFFECTIVE: u32 = 1;

/// The capabilities of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileCaps {
    effective: u64,
    inheritable: u64,
    permitted: u64,
}

/// Why a text names no file capabilities, as the rest of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotCaps {
    reason: String,
    unknown: Option<String>,
}

impl NotCaps {
    /// The name that is no capability's, where that is what is wrong.
    pub fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }
}

fn wrong<T>(reason: impl Into<String>) -> Result<T, NotCaps> {
    Err(NotCaps { reason: reason.into(), unknown: None })
}

impl FileCaps {
    /// The extended attribute that holds them.
    pub const XATTR: &'static str = "security.capability";

    /// The names of all capabilities, by number.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter()
    }

    /// Reads what `setcap` takes, as libcap's `cap_from_text` does: clauses between white space,
    /// each a list of names (or numbers, or `all`) and actions `=`, `+`, `-` with the flags `e`,
    /// `i`, `p`. Clauses apply one after the other. `all` means every capability that has a name
    /// today, where libcap asks the running kernel.
    ///
    /// # Errors
    /// [`NotCaps`], also for what no file can have: the effective flag of a file is one for all of
    /// its capabilities.
    pub fn parse(text: &str) -> Result<Self, NotCaps> {
        let mut caps = Self::default();
        let mut clauses = text.split_ascii_whitespace().peekable();
        if clauses.peek().is_none() {
            return wrong("is empty");
        }
        for clause in clauses {
            caps.clause(clause)?;
        }
        let granted = caps.permitted | caps.inheritable;
        if caps.effective != 0 && granted & !caps.effective != 0 {
            return wrong(
                "has `e` for some capabilities only: a file has it for all of its own or for none",
            );
        }
        Ok(caps)
    }

    fn clause(&mut self, clause: &str) -> Result<(), NotCaps> {
        let is_operator = |c: char| matches!(c, '=' | '+' | '-');
        let Some(at) = clause.find(is_operator) else {
            return wrong("has no `=`, `+` or `-`; expected such as cap_net_bind_service=ep");
        };
        let (list, mut actions) = clause.split_at(at);
        let mask = match list {
            "" if actions.starts_with('=') && !actions[1..].contains(is_operator) => ALL,
            "" => return wrong("can leave out the names before a single `=` only"),
            list => names(list)?,
        };
        let mut first = true;
        while let Some(operator) = actions.chars().next() {
            let rest = &actions[1..];
            let end = rest.find(is_operator).unwrap_or(rest.len());
            let flags = &rest[..end];
            actions = &rest[end..];
            if operator == '=' {
                if !first {
                    return wrong("has a `=` that is not the first action of its names");
                }
                self.change(mask, "eip", false)?;
            } else if flags.is_empty() {
                return wrong(format!("has no flag after `{operator}`; expected e, i or p"));
            }
            self.change(mask, flags, operator != '-')?;
            first = false;
        }
        Ok(())
    }

    fn change(&mut self, mask: u64, flags: &str, raise: bool) -> Result<(), NotCaps> {
        for flag in flags.chars() {
            let set = match flag {
                'e' => &mut self.effective,
                'i' => &mut self.inheritable,
                'p' => &mut self.permitted,
                other => return wrong(format!("has the flag `{other}`; expected e, i or p")),
            };
            *set = if raise { *set | mask } else { *set & !mask };
        }
        Ok(())
    }

    /// The attribute's value: `struct vfs_cap_data` of revision 2, little-endian.
    pub fn to_xattr(&self) -> [u8; 20] {
        let magic = REVISION_2 | if self.effective == 0 { 0 } else { FLAG_EFFECTIVE };
        let words = [
            magic,
            self.permitted as u32,
            self.inheritable as u32,
            (self.permitted >> 32) as u32,
            (self.inheritable >> 32) as u32,
        ];
        let mut value = [0; 20];
        for (bytes, word) in value.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        value
    }
}

/// The set of a list of names.
fn names(list: &str) -> Result<u64, NotCaps> {
    let mut mask = 0;
    for name in list.split(',') {
        let lower = name.to_ascii_lowercase();
        mask |= match NAMES.iter().position(|known| *known == lower) {
            Some(number) => 1 << number,
            None if lower == "all" => ALL,
            None => match number(name).filter(|number| *number < 64) {
                Some(number) => 1 << number,
                None => {
                    let reason = format!("has `{name}`, which is no capability");
                    return Err(NotCaps { reason, unknown: Some(lower) });
                }
            },
        };
    }
    Ok(mask)
}

/// A number as C writes it, which libcap takes too.
fn number(text: &str) -> Option<u64> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    match (text.strip_prefix("0x"), text.strip_prefix('0')) {
        (Some(hex), _) => u64::from_str_radix(hex, 16).ok(),
        (None, Some(octal)) if !octal.is_empty() => u64::from_str_radix(octal, 8).ok(),
        _ => text.parse().ok(),
    }
}

/// As numbers, for messages and tests: `e=400 i=0 p=400`.
impl fmt::Display for FileCaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e={:x} i={:x} p={:x}", self.effective, self.inheritable, self.permitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_as_libcap_reads_them() {
        // The values are those that setcap of libcap 2.66 writes; the tests with real consumers
        // ask it again.
        for (text, value) in [
            ("cap_net_bind_service=ep", "0100000200040000000000000000000000000000"),
            ("cap_net_bind_service+ep", "0100000200040000000000000000000000000000"),
            ("Cap_Chown=ep  cap_kill+ep", "0100000221000000000000000000000000000000"),
            ("cap_chown,cap_net_bind_service=eip", "0100000201040000010400000000000000000000"),
            ("=ep", "01000002ffffffff00000000ff01000000000000"),
            ("=p cap_chown-p", "00000002feffffff00000000ff01000000000000"),
            ("cap_chown=ie+p-i", "0100000201000000000000000000000000000000"),
            ("cap_chown=p+e", "0100000201000000000000000000000000000000"),
            ("cap_chown=e", "0100000200000000000000000000000000000000"),
            ("40=ep", "0100000200000000000000000001000000000000"),
            ("013=ep", "0100000200080000000000000000000000000000"),
            ("cap_chown=ep =", "0000000200000000000000000000000000000000"),
        ] {
            let caps = FileCaps::parse(text).unwrap();
            let hex: String = caps.to_xattr().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, value, "{text}");
        }
    }

    #[test]
    fn refusals_say_why() {
        for (text, reason) in [
            ("", "is empty"),
            ("cap_chown", "has no `=`"),
            ("chown=ep", "`chown`, which is no capability"),
            ("cap_40=ep", "`cap_40`"),
            ("64=ep", "`64`"),
            ("08=ep", "`08`"),
            ("cap_chown,,cap_kill=ep", "``"),
            ("cap_chown =ep cap_kill", "has no `=`"),
            ("+ep", "before a single `=`"),
            ("=p-e", "before a single `=`"),
            ("cap_chown=p=e", "not the first"),
            ("cap_chown+", "no flag after `+`"),
            ("cap_chown=epx", "the flag `x`"),
            ("cap_chown=EP", "the flag `E`"),
            ("cap_chown=ep cap_kill=p", "for some capabilities only"),
        ] {
            let error = FileCaps::parse(text).unwrap_err();
            assert!(error.to_string().contains(reason), "{text}: {error}");
        }
    }
}
