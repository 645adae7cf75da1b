//! The driver with a thread per connection.
#![allow(clippy::unwrap_used)] // a test fails by panicking
mod common;

use common::{Seen, apps, start};
use drivers::Kind;

scenarios!(Kind::Blocking);

#[test]
fn says_what_it_is() {
    let _alone = common::alone();
    let run = start(Kind::Blocking, apps::Echo);
    let Seen::Started { capacity, driver } = run.next() else { panic!("the app starts first") };
    assert_eq!(driver, "blocking");
    assert!((1..=drivers::listen::descriptor_capacity()).contains(&capacity));
    run.end();
}
