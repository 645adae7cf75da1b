//! The log of a server: the same lines for people, for programs, and for journald.
use crate::text::Json;
use core::fmt;
use proto_core::Wall;

/// How a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Format {
    /// As it is.
    #[default]
    Text,
    /// A JSON object.
    Json,
    /// With its level before it, as `sd-daemon` has it; journald adds the time.
    Journald,
}

impl Format {
    /// A line of information, without its end.
    pub fn line(self, at: Wall, text: fmt::Arguments<'_>) -> String {
        match self {
            Format::Text => text.to_string(),
            Format::Json => {
                let ms = at.unix_ns / 1_000_000;
                let text = Json(&text.to_string()).to_string();
                format!("{{\"schema\":\"drywire/log/1\",\"time_ms\":{ms},\"level\":\"info\",\"message\":{text}}}")
            }
            Format::Journald => format!("<6>{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let at = Wall { unix_ns: 1_500_000_000, utc_offset_s: 0 };
        let line = |f: Format| f.line(at, format_args!("Received: {:?}", "x"));
        assert_eq!(line(Format::Text), "Received: \"x\"");
        assert_eq!(line(Format::Journald), "<6>Received: \"x\"");
        let json = r#"{"schema":"drywire/log/1","time_ms":1500,"level":"info","message":"Received: \"x\""}"#;
        assert_eq!(line(Format::Json), json);
    }
}
