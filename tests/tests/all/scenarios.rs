//! Every scenario gives the same bytes on every real driver.
use tests::scenario::{all, drivers, table};

#[test]
fn all_drivers_are_equal() {
    for (name, script) in all() {
        table(&name, &script, &drivers()).unwrap_or_else(|text| panic!("{text}"));
    }
}

#[test]
fn a_difference_is_found() {
    let script = "run echo_server 0 -q\nopen a\na > x\na < y\nstop 0\n";
    let text = table("wrong", script, &["poll"]).expect_err("the script expects what echo does not send");
    assert!(text.contains("poll      no    line 4: a < y: got \"x\""), "{text}");
}
