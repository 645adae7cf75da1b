//! The same question again and again: a ping for name servers.
use core::time::Duration;

/// Times of replies.
#[derive(Debug, Default)]
pub struct Times {
    took: Vec<Duration>,
    lost: u32,
}

impl Times {
    /// A reply took that long, or `None` came.
    pub fn add(&mut self, took: Option<Duration>) {
        match took {
            Some(took) => self.took.push(took),
            None => self.lost += 1,
        }
    }
    /// How many there were.
    pub fn count(&self) -> u32 {
        self.took.len() as u32 + self.lost
    }
    /// Nobody has ever answered.
    pub fn all_lost(&self) -> bool {
        self.took.is_empty()
    }
    /// One line about all of them.
    pub fn summary(&self) -> String {
        let (sent, got) = (self.count(), self.took.len() as u32);
        let loss = 100.0 * f64::from(self.lost) / f64::from(sent.max(1));
        let mut text = format!("{sent} asked, {got} answered, {loss:.1}% lost");
        let mut sorted = self.took.clone();
        sorted.sort();
        let ms = |d: Duration| d.as_secs_f64() * 1000.0;
        if let (Some(min), Some(max)) = (sorted.first(), sorted.last()) {
            let mean = sorted.iter().sum::<Duration>() / got.max(1);
            let at = (sorted.len() * 99).div_ceil(100).saturating_sub(1);
            let p99 = sorted.get(at).copied().unwrap_or(*max);
            let [min, mean, p99, max] = [*min, mean, p99, *max].map(ms);
            text.push_str(&format!("; min {min:.2} ms, mean {mean:.2} ms, p99 {p99:.2} ms, max {max:.2} ms"));
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary() {
        let mut t = Times::default();
        (1..=200).for_each(|i| t.add(Some(Duration::from_millis(i))));
        t.add(None);
        let want = "201 asked, 200 answered, 0.5% lost; min 1.00 ms, mean 100.50 ms, p99 198.00 ms, max 200.00 ms\n";
        assert_eq!(t.summary(), want);
        assert_eq!(Times::default().summary(), "0 asked, 0 answered, 0.0% lost\n");
    }
}
