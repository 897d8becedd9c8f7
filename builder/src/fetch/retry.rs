//! When to try again, and how long to wait before.

use std::time::Duration;

/// Bounds of everything that touches the network. The defaults suit people's connections; tests
/// make them small.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Name resolution.
    pub resolve: Duration,
    /// Name resolution, TCP and TLS together.
    pub connect: Duration,
    /// From the request to the answer's header.
    pub first_byte: Duration,
    /// Between two arrivals of body bytes.
    pub stall: Duration,
    /// How often one place is tried in all.
    pub tries: u32,
    /// The wait before the second try; it doubles for each further one.
    pub backoff: Duration,
    /// The longest wait. A server that asks with Retry-After for a longer one is not asked again.
    pub longest_wait: Duration,
    /// Downloads at a time.
    pub parallel: usize,
    /// Downloads at a time from one host.
    pub per_host: usize,
    /// Bytes that a download of unknown size may have.
    pub max_size: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(3),
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            tries: 4,
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            parallel: 6,
            per_host: 4,
            max_size: 16 << 30,
        }
    }
}

impl Limits {
    /// The wait before try number `next` (the second is 1). `jitter` is from 0 up to 1: the wait
    /// lies between half and the whole of the doubled time, so that many clients that failed
    /// together do not come back together. What the server asked for is the least; the error is what
    /// it asked for where that is too long.
    pub(super) fn wait(
        &self,
        next: u32,
        asked: Option<Duration>,
        jitter: f64,
    ) -> Result<Duration, Duration> {
        let asked = asked.unwrap_or_default();
        if asked > self.longest_wait {
            return Err(asked);
        }
        let doubled = self.backoff.saturating_mul(1 << next.saturating_sub(1).min(16));
        Ok(doubled.mul_f64(0.5 + jitter / 2.0).min(self.longest_wait).max(asked))
    }
}

/// Whether an HTTP status may go away by itself (RFC 9110 section 15; 425: RFC 8470; 429:
/// RFC 6585).
pub(super) fn worth_another_try(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// What a Retry-After header asks for (RFC 9110, 10.2.3): seconds, or a date, which is held
/// against the same answer's Date, so that neither a clock is read nor one that goes wrong hurts.
pub(super) fn retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = |text| httpdate::parse_http_date(text).ok();
    at(value)?.duration_since(at(date?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_with_jitter_within_bounds() {
        let limits = Limits { backoff: Duration::from_secs(1), ..Limits::default() };
        let seconds = |next, asked: Option<u64>, jitter| {
            let wait = limits.wait(next, asked.map(Duration::from_secs), jitter);
            wait.map(|wait| wait.as_secs_f64()).map_err(|asked| asked.as_secs())
        };
        assert_eq!(seconds(1, None, 0.0), Ok(0.5));
        assert_eq!(seconds(1, None, 1.0), Ok(1.0));
        assert_eq!(seconds(3, None, 1.0), Ok(4.0));
        assert_eq!(seconds(99, None, 1.0), Ok(60.0));
        assert_eq!(seconds(1, Some(7), 1.0), Ok(7.0));
        assert_eq!(seconds(1, Some(60), 1.0), Ok(60.0));
        assert_eq!(seconds(1, Some(7200), 1.0), Err(7200));
    }

    #[test]
    fn dates_and_seconds() {
        let date = Some("Sun, 06 Nov 1994 08:49:30 GMT");
        let after = |value, date| retry_after(value, date).map(|d: Duration| d.as_secs());
        assert_eq!(after("120", None), Some(120));
        assert_eq!(after("99999999999999999999", None), Some(u64::MAX));
        assert_eq!(after("-1", None), None);
        assert_eq!(after("soon", date), None);
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT", date), Some(7));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT", None), None);
        assert_eq!(after("Sun, 06 Nov 1994 08:49:00 GMT", date), None);
    }
}
