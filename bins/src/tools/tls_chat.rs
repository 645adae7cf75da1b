//! `tls_chat_server`, `tls_chat_client`: the chat whose members show certificates.
use super::chat::{ChatClientTool, ChatServerTool};
use crate::chat::server::ChatServer;
use crate::cli::{DriverArgs, Plan, Tool};
use crate::line_client::LineClient;
use crate::outcome::{Code, Failure};
use crate::tls::PemFile;
use clap::Parser;
use drivers::Kind;
use proto_core::Shard;

/// Where a server listens if nothing else is asked for.
const PORT: u16 = 9443;
/// The CA that a client believes if it is not told, and this file is there.
const OUR_CA: &str = "ca.crt";

/// A chat in which every member proves by a certificate who it is
#[derive(Parser, Clone, Debug)]
#[command(
    name = "tls_chat_server",
    version,
    max_term_width = 100,
    after_help = "\
SIGHUP reads certificate, key, CA and revocation list again; who is revoked goes at once.

Examples:
  tls_chat_server --cert server.crt --key server.key --ca ca.crt
  tls_chat_server 9443 --cert server.crt --key server.key --ca ca.crt --crl ca.crl
  tls_chat_server --cert server.crt --key server.key --ca ca.crt --listen 0.0.0.0:9443
  openssl s_client -quiet -connect localhost:9443 -cert alice.crt -key alice.key"
)]
pub struct TlsChatServerTool {
    #[command(flatten)]
    chat: ChatServerTool,
}

impl TlsChatServerTool {
    /// The chat that it is, with what is always so.
    fn inner(&self) -> ChatServerTool {
        let mut chat = self.chat.clone();
        chat.certified = true;
        if chat.args.port().is_none() && chat.args.listen.is_empty() {
            chat.args.port = Some(PORT);
        }
        chat
    }
}

impl Tool for TlsChatServerTool {
    type App = ChatServer;
    const NAME: &'static str = "tls_chat_server";
    const DRIVER: Kind = Kind::Auto;

    fn driver(&self) -> &DriverArgs {
        self.chat.driver()
    }
    fn instead(&self) -> Option<Result<Code, Failure>> {
        super::running(Self::NAME, &self.inner().args)
    }
    fn plan(&self) -> Result<Plan, Failure> {
        let tls = &self.chat.tls;
        if tls.tls.cert.is_none() || tls.ca.is_none() {
            return Err(Failure::usage("needs --cert, --key and --ca (generate_certs makes them)"));
        }
        if self.chat.password_file.is_some() {
            return Err(Failure::usage("--password-file: members are known by their certificates"));
        }
        self.inner().plan_as(Self::NAME)
    }
    fn app(&self, shard: Shard) -> ChatServer {
        self.inner().app(shard)
    }
}

/// A client for tls_chat_server, known by its certificate
#[derive(Parser, Clone, Debug)]
#[command(
    name = "tls_chat_client",
    version,
    max_term_width = 100,
    after_help = "\
Without --ca the CA of ca.crt in the working directory is believed, if that is there.

Examples:
  tls_chat_client --cert alice.crt --key alice.key --ca ca.crt localhost 9443
  tls_chat_client --cert alice.crt --key alice.key 192.0.2.1 9443 --server-name localhost
  tls_chat_client --cert alice.crt --key alice.key localhost 9443 --reconnect"
)]
pub struct TlsChatClientTool {
    #[command(flatten)]
    chat: ChatClientTool,
}

impl TlsChatClientTool {
    fn inner(&self) -> ChatClientTool {
        let mut chat = self.chat.clone();
        chat.certified = true;
        if chat.tls.ca.is_none() {
            chat.tls.ca = PemFile::read(OUR_CA).ok();
        }
        chat
    }
}

impl Tool for TlsChatClientTool {
    type App = LineClient;
    const NAME: &'static str = "tls_chat_client";
    const DRIVER: Kind = Kind::Poll;

    fn driver(&self) -> &DriverArgs {
        self.chat.driver()
    }
    fn plan(&self) -> Result<Plan, Failure> {
        self.inner().plan()
    }
    fn app(&self, shard: Shard) -> LineClient {
        self.inner().app(shard)
    }
}
