//! How a line client behaves.
use crate::tls::ClientTls;
use core::time::Duration;

/// How it behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The tool's name, for errors.
    pub tool: &'static str,
    /// Shown when the connection is there; empty for nothing.
    pub greeting: String,
    /// When to show `> `.
    pub prompt: Prompt,
    /// The end of standard input is not passed on.
    pub keep_open: bool,
    /// Show bytes as hex.
    pub hex: bool,
    /// Put before each line of the server.
    pub prefix: &'static str,
    /// Shown after a connection that ended in order; empty for nothing.
    pub goodbye: &'static str,
    /// The server must have sent back as much as it got.
    pub echo: bool,
    /// Notices to this client (`* You ...`) are shown without their mark.
    pub notices: bool,
    /// How long to wait for the server after the end of input; for ever if `None`.
    pub linger: Option<Duration>,
    /// Lines are edited here, if both standard input and output are a terminal.
    pub editing: bool,
    /// Tab completes nicknames and the commands of a chat.
    pub names: bool,
    /// Speaks TLS; or why it cannot.
    pub tls: Result<Option<ClientTls>, String>,
}

impl Options {
    /// Shows what the server says, and nothing else.
    pub fn plain(tool: &'static str) -> Self {
        Options {
            tool,
            greeting: String::new(),
            prompt: Prompt::Off,
            keep_open: false,
            hex: false,
            prefix: "",
            goodbye: "",
            echo: false,
            notices: false,
            linger: None,
            editing: true,
            names: false,
            tls: Ok(None),
        }
    }
}

/// When to show `> `.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prompt {
    /// Never.
    Off,
    /// If standard input is a terminal.
    Terminal,
    /// Always.
    On,
}
