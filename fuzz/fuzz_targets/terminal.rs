//! The line editor on a screen: after every step the screen is right, and keys mean the same however they are cut.
#![no_main]
#[path = "../../tests/src/desk.rs"]
mod desk;
#[path = "../../tests/src/screen.rs"]
mod screen;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = desk::play(data, false).unwrap_or_else(|e| panic!("{e}"));
    let bytewise = desk::play(data, true).unwrap_or_else(|e| panic!("byte by byte: {e}"));
    assert_eq!(whole, bytewise);
});
