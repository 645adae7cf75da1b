//! Fault plans: what goes wrong, how often. The same text serves simulations and chaos around real drivers.
//!
//! `seed=7,loss=1%,delay=20ms±5ms,split=1,short=5%,reset=1%,stall=1%:5s,disk=eio:1%`. Chances are per event: per
//! segment for the network, per question for the disk. An unknown key is an error.
use std::str::FromStr;
use std::time::Duration;

/// How likely something is, in millionths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Chance(pub u32);

/// A duration that varies evenly: `base - plus_minus ..= base + plus_minus`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spread {
    /// The middle.
    pub base: Duration,
    /// How far from it.
    pub plus_minus: Duration,
}

/// What goes wrong, how often. [`Plan::default`] is a fast network on which nothing does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// `seed=N`: of everything random.
    pub seed: Option<u64>,
    /// `delay=D[±D]`: one way.
    pub delay: Spread,
    /// `loss=P`: a datagram is lost; a segment comes a retransmission timeout later.
    pub loss: Chance,
    /// `dup=P`: a datagram comes twice.
    pub dup: Chance,
    /// `reorder=P`: a datagram is overtaken by later ones.
    pub reorder: Chance,
    /// `split=N`: reads give 1 to N bytes.
    pub split: Option<usize>,
    /// `short=P`: a write takes only a part.
    pub short: Chance,
    /// `again=P`: a read or write finds that it would block, and the truth a little later.
    pub again: Chance,
    /// `reset=P`: the connection is reset on both sides, what is in flight is lost.
    pub reset: Chance,
    /// `stall=P:D`: a segment, and all behind it, comes that much later.
    pub stall: (Chance, Duration),
    /// `refuse=P`: a connect is refused.
    pub refuse: Chance,
    /// `halfclose=P`: the reader sees the end after this segment; what is written later vanishes.
    pub halfclose: Chance,
    /// `bw=RATE`: bytes per second and direction of a connection.
    pub bw: Option<u64>,
    /// `job=D[±D]`: how long a job takes.
    pub job: Spread,
    /// `disk=full:P`: a write finds no space, after a part of it was written.
    pub disk_full: Chance,
    /// `disk=slow:P`: a question takes up to a second.
    pub disk_slow: Chance,
    /// `disk=eio:P`: a read, write or sync fails. What a failed sync covered may never become durable.
    pub disk_eio: Chance,
    /// `disk=torn:P`: a write fails after a part of it was written.
    pub disk_torn: Chance,
    /// `power=N`: the power fails after the N-th write of a machine (simulations only).
    pub power: Option<u64>,
    /// `time=JUMP`: the time of day jumps by this many nanoseconds, once.
    pub time: Option<i64>,
    /// `cqe=OP:ERRNO:P`: completions of an operation that fail (io_uring only).
    pub cqe: Vec<(String, String, Chance)>,
}

/// Without a plan a packet takes a tenth of a millisecond.
const DELAY: Spread = Spread { base: Duration::from_micros(100), plus_minus: Duration::from_micros(50) };
const JOB: Spread = Spread { base: Duration::from_micros(50), plus_minus: Duration::from_micros(40) };
const NEVER: Chance = Chance(0);
/// The chance of a disk fault that is named without one.
const DISK: Chance = Chance(50_000);

impl Default for Plan {
    fn default() -> Self {
        Plan {
            seed: None,
            delay: DELAY,
            loss: NEVER,
            dup: NEVER,
            reorder: NEVER,
            split: None,
            short: NEVER,
            again: NEVER,
            reset: NEVER,
            stall: (NEVER, Duration::ZERO),
            refuse: NEVER,
            halfclose: NEVER,
            bw: None,
            job: JOB,
            disk_full: NEVER,
            disk_slow: NEVER,
            disk_eio: NEVER,
            disk_torn: NEVER,
            power: None,
            time: None,
            cqe: Vec::new(),
        }
    }
}

impl FromStr for Plan {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let mut plan = Plan::default();
        for item in s.split(',').map(str::trim).filter(|i| !i.is_empty()) {
            let (key, value) = item.split_once('=').ok_or_else(|| format!("'{item}' has no value"))?;
            plan.set(key.trim(), value.trim()).map_err(|why| format!("'{item}': {why}"))?;
        }
        Ok(plan)
    }
}

impl Plan {
    fn set(&mut self, key: &str, v: &str) -> Result<(), String> {
        match key {
            "seed" => self.seed = Some(number(v)?),
            "delay" => self.delay = spread(v)?,
            "job" => self.job = spread(v)?,
            "loss" => self.loss = chance(v)?,
            "dup" => self.dup = chance(v)?,
            "reorder" => self.reorder = chance(v)?,
            "split" => match number(v)? {
                0 => return Err("a read gives at least one byte".into()),
                n => self.split = Some(usize::try_from(n).unwrap_or(usize::MAX)),
            },
            "short" => self.short = chance(v)?,
            "again" => self.again = chance(v)?,
            "reset" => self.reset = chance(v)?,
            "stall" => {
                let (p, d) = v.split_once(':').ok_or("expected P:DURATION")?;
                self.stall = (chance(p)?, duration(d)?);
            }
            "refuse" => self.refuse = chance(v)?,
            "halfclose" => self.halfclose = chance(v)?,
            "bw" => match size(v.strip_suffix("/s").unwrap_or(v))? {
                0 => return Err("a bandwidth of zero moves nothing".into()),
                n => self.bw = Some(n),
            },
            "disk" => self.set_disk(v)?,
            "power" => match number(v)? {
                0 => return Err("writes are counted from 1".into()),
                n => self.power = Some(n),
            },
            "time" => self.time = Some(jump(v)?),
            "cqe" => match v.split(':').collect::<Vec<_>>()[..] {
                [op, errno, p] => self.cqe.push((op.into(), errno.into(), chance(p)?)),
                _ => return Err("expected OP:ERRNO:P".into()),
            },
            _ => return Err(format!("no such key; there are {KEYS}")),
        }
        Ok(())
    }
    fn set_disk(&mut self, v: &str) -> Result<(), String> {
        let (kind, p) = match v.split_once(':') {
            Some((kind, p)) => (kind, chance(p)?),
            None => (v, DISK),
        };
        match kind {
            "full" => self.disk_full = p,
            "slow" => self.disk_slow = p,
            "eio" => self.disk_eio = p,
            "torn" => self.disk_torn = p,
            _ => return Err("expected full, slow, eio or torn".into()),
        }
        Ok(())
    }
}

const KEYS: &str = "seed, delay, loss, dup, reorder, split, short, again, reset, stall, refuse, halfclose, bw, job, disk, \
                    power, time, cqe";

fn number(s: &str) -> Result<u64, String> {
    s.parse().map_err(|_| format!("'{s}' is not a number"))
}

/// `1%`, `0.5%` or a fraction such as `0.01`.
fn chance(s: &str) -> Result<Chance, String> {
    let (digits, unit) = s.strip_suffix('%').map_or((s, 1_000_000.0), |d| (d, 10_000.0));
    let value: f64 = digits.parse().map_err(|_| format!("'{s}' is not a chance such as 1%"))?;
    let ppm = value * unit;
    if !(0.0..=1_000_000.0).contains(&ppm) {
        return Err(format!("'{s}' is not within 0% and 100%"));
    }
    Ok(Chance(ppm.round() as u32))
}

/// `500ms`, `20us`, `1.5s`, `2m`, `1h`; a bare number is seconds.
fn duration(s: &str) -> Result<Duration, String> {
    let at = s.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(s.len());
    let (digits, unit) = s.split_at(at);
    let unit_ns = match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" | "" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return Err(format!("'{s}' is not a duration such as 20ms")),
    };
    let value: f64 = digits.parse().map_err(|_| format!("'{s}' is not a duration such as 20ms"))?;
    Ok(Duration::from_nanos((value * unit_ns) as u64))
}

fn spread(s: &str) -> Result<Spread, String> {
    let (base, plus_minus) = match s.split_once('±').or_else(|| s.split_once("+-")) {
        Some((base, d)) => (duration(base)?, duration(d)?),
        None => (duration(s)?, Duration::ZERO),
    };
    if plus_minus > base {
        return Err(format!("'{s}' goes below zero"));
    }
    Ok(Spread { base, plus_minus })
}

/// `-1h`, `+5s`.
fn jump(s: &str) -> Result<i64, String> {
    let (sign, d) = match s.strip_prefix('-') {
        Some(d) => (-1, d),
        None => (1, s.strip_prefix('+').unwrap_or(s)),
    };
    i64::try_from(duration(d)?.as_nanos()).map(|ns| sign * ns).map_err(|_| format!("'{s}' is too far"))
}

/// `64KiB`, `1MB`; a bare number is bytes.
fn size(s: &str) -> Result<u64, String> {
    let at = s.find(|c: char| !c.is_ascii_digit()).unwrap_or(s.len());
    let (digits, unit) = s.split_at(at);
    let unit = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return Err(format!("'{s}' is not a size such as 64KiB")),
    };
    number(digits)?.checked_mul(unit).ok_or_else(|| format!("'{s}' is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_as_written() {
        let text = "seed=7,loss=1%,delay=20ms±5ms,split=1,short=5%,reset=0.01,stall=1%:5s,bw=1MB/s,disk=eio:2%,disk=slow,\
                    power=3,time=-1h,cqe=recv:ECONNRESET:1%";
        let plan: Plan = text.parse().unwrap();
        assert_eq!(plan.seed, Some(7));
        assert_eq!(plan.delay, Spread { base: Duration::from_millis(20), plus_minus: Duration::from_millis(5) });
        assert_eq!((plan.loss, plan.short, plan.reset), (Chance(10_000), Chance(50_000), Chance(10_000)));
        assert_eq!((plan.split, plan.bw, plan.power), (Some(1), Some(1_000_000), Some(3)));
        assert_eq!(plan.stall, (Chance(10_000), Duration::from_secs(5)));
        assert_eq!((plan.disk_eio, plan.disk_slow), (Chance(20_000), DISK));
        assert_eq!(plan.time, Some(-3_600_000_000_000));
        assert_eq!(plan.cqe, [("recv".into(), "ECONNRESET".into(), Chance(10_000))]);
        assert_eq!("".parse(), Ok(Plan::default()));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, names) in [
            ("los=1%", "no such key"),
            ("loss", "has no value"),
            ("loss=x", "'x' is not a chance"),
            ("loss=101%", "not within"),
            ("loss=NaN", "not within"),
            ("split=0", "at least one byte"),
            ("delay=5ms±6ms", "below zero"),
            ("delay=5parsec", "not a duration"),
            ("stall=1%", "P:DURATION"),
            ("disk=melted", "expected full"),
            ("bw=0", "moves nothing"),
            ("power=0", "counted from 1"),
        ] {
            let error = text.parse::<Plan>().unwrap_err();
            assert!(error.contains(names), "{text}: {error}");
        }
    }
}
