//! Several servers asked at once: the first answer, and how the others differ from it.
use super::show::server;
use proto_core::dns::{Message, Reply, Section};
use std::collections::BTreeSet;

/// What an answer says, whatever the order and however long it may be kept.
pub type Said = BTreeSet<String>;

/// What is known so far.
#[derive(Debug, Default)]
pub struct Race {
    first: Option<Said>,
}

impl Race {
    /// The first reply is `None`; of the others, the lines to print.
    pub fn add(&mut self, reply: &Reply) -> Option<String> {
        let said = said(reply);
        let Some(first) = &self.first else {
            self.first = Some(said);
            return None;
        };
        let ms = reply.took.as_secs_f64() * 1000.0;
        let name = server(&reply.server);
        if *first == said {
            return Some(format!("{name} says the same ({ms:.1} ms)\n"));
        }
        let mut text = format!("{name} differs ({ms:.1} ms)\n");
        first.difference(&said).for_each(|line| text.push_str(&format!("- {line}\n")));
        said.difference(first).for_each(|line| text.push_str(&format!("+ {line}\n")));
        Some(text)
    }
    /// Somebody has answered.
    pub fn is_won(&self) -> bool {
        self.first.is_some()
    }
}

fn said(reply: &Reply) -> Said {
    let Ok(m) = Message::parse(&reply.bytes) else { return Said::new() };
    let mut said = Said::from([format!("code {}", m.rcode())]);
    for r in m.records().into_iter().flatten().flatten().filter(|r| r.section == Section::Answer) {
        said.insert(format!("{} {} {} {}", r.name.to_string().to_lowercase(), r.class, r.kind, super::show::data(&r)));
    }
    said
}
