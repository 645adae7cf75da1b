//! The flags that make a body.
use crate::fetch::upload::{Part, Piece, URLENCODED, Upload, multipart, urlencode};
use crate::outcome::Failure;
use clap::Args;
use proto_core::Bytes;
use sha2::{Digest, Sha256};

/// What is sent.
#[derive(Args, Clone, Debug, Default)]
pub struct BodyArgs {
    /// Send DATA as a form, joined with &; @FILE sends a file as it is, @- standard input (repeatable)
    #[arg(short, long, value_name = "DATA", allow_hyphen_values = true, help_heading = "Body")]
    data: Vec<String>,
    /// The same, and @ has no meaning (repeatable)
    #[arg(long, value_name = "DATA", allow_hyphen_values = true, help_heading = "Body")]
    data_raw: Vec<String>,
    /// Send VALUE encoded, as NAME=VALUE (repeatable)
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true, help_heading = "Body")]
    data_urlencode: Vec<String>,
    /// Send a multipart form: NAME=VALUE, NAME=@FILE;type=TYPE or NAME=<FILE (repeatable)
    #[arg(short = 'F', long, value_name = "NAME=VALUE", value_parser = Part::parse, conflicts_with_all = ["data", "data_raw", "data_urlencode", "json"], help_heading = "Body")]
    form: Vec<Part>,
    /// Send DATA, @FILE or @- as JSON
    #[arg(long, value_name = "DATA", allow_hyphen_values = true, conflicts_with_all = ["data", "data_raw", "data_urlencode"], help_heading = "Body")]
    json: Option<String>,
}

fn piece(text: &str) -> Piece {
    match text.strip_prefix('@') {
        Some(path) => Piece::File(path.into()),
        None => Piece::Text(Bytes::from(text.to_string())),
    }
}

impl BodyArgs {
    /// The body they make.
    pub fn upload(&self) -> Result<Upload, Failure> {
        if let Some(json) = &self.json {
            let media = "application/json".into();
            return Ok(Upload { some: true, pieces: vec![piece(json)], media, accept: Some("application/json") });
        }
        if !self.form.is_empty() {
            return Ok(multipart(&self.form, &boundary(&self.form)));
        }
        let mut upload = Upload { media: URLENCODED.into(), ..Upload::default() };
        for text in &self.data {
            if text == "@" {
                return Err(Failure::usage("-d @: the file has no name"));
            }
            upload.join(piece(text));
        }
        for text in &self.data_raw {
            upload.join(Piece::Text(Bytes::from(text.clone())));
        }
        for text in &self.data_urlencode {
            let encoded = match text.split_once('=') {
                Some(("", value)) => urlencode(value.as_bytes()),
                Some((name, value)) => format!("{name}={}", urlencode(value.as_bytes())),
                None => urlencode(text.as_bytes()),
            };
            upload.join(Piece::Text(encoded.into()));
        }
        Ok(upload)
    }
}

/// A boundary that is the same for the same form, so that a recording can be replayed, and that nobody who fills in one
/// of its values can put into it: it depends on all of them.
fn boundary(parts: &[Part]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|p| hash.update(format!("{p:?}")));
    let hash = hash.finalize();
    let digits: String = hash.iter().take(12).map(|b| format!("{b:02x}")).collect();
    format!("------------------------{digits}")
}
