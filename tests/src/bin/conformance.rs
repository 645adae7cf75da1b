//! Plays every scenario on all real drivers and prints the equality tables. Exit code 10 if they are not equal.
use std::io::Write;
use tests::scenario;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let drivers = scenario::drivers();
    let mut equal = true;
    for (name, script) in scenario::all() {
        let (Ok(text) | Err(text)) = scenario::table(&name, &script, &drivers).inspect_err(|_| equal = false);
        write!(out, "{text}")?;
    }
    writeln!(out, "{}", if equal { "all equal" } else { "NOT EQUAL" })?;
    std::process::exit(if equal { 0 } else { 10 })
}
