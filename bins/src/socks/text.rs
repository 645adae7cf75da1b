//! What a proxy's log says.
use core::fmt;

/// Bytes as the log has them: thousands, with one decimal.
#[derive(Clone, Copy, Debug)]
pub struct Volume(pub u64);

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            0..1_000_000 => (1_000, "KB"),
            1_000_000..1_000_000_000 => (1_000_000, "MB"),
            _ => (1_000_000_000, "GB"),
        };
        // Cut, not rounded: 999,999 bytes are not 1000.0 KB.
        write!(f, "{}.{} {name}", self.0 / unit, self.0 % unit / (unit / 10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes() {
        let texts = [0, 99, 100, 15_249, 999_999, 1_000_000, 45_600_000, 2_350_000_000].map(|n| Volume(n).to_string());
        assert_eq!(texts, ["0.0 KB", "0.0 KB", "0.1 KB", "15.2 KB", "999.9 KB", "1.0 MB", "45.6 MB", "2.3 GB"]);
    }
}
