//! Users who change: their files are read again on SIGHUP.
use super::{MyCx, RELOAD, Shop};
use crate::service::{Note, Service};
use crate::slurp::Slurp;
use crate::users::Users;
use core::iter::zip;
use proto_core::Input;

/// Bytes of a file of users at most.
const LARGEST: u32 = 16 << 20;

/// The files being read: of who asks, and of who uploads.
pub(super) type Reading = [Option<Slurp>; 2];

impl Shop {
    /// Takes an input that may be about the files.
    pub(in super::super) fn reloading(&mut self, input: &Input<'_, Note>, service: &Service, cx: &mut MyCx<'_>) {
        if let Input::Signal(proto_core::Signal::Reload) | Input::Post(_, Note::Reload) = input {
            for (i, (file, path)) in (0..).zip(zip(&mut self.reading, &self.site.options.auth_files)) {
                if let Some(path) = path.as_ref().filter(|_| file.is_none()) {
                    *file = Some(Slurp::start(RELOAD, i * 3, (path, LARGEST), cx));
                }
            }
        }
        for i in 0..2 {
            let Some(Some(file)) = self.reading.get_mut(i) else { continue };
            let Some(read) = file.handle(input, cx) else { continue };
            let path = self.site.options.auth_files.get(i).cloned().flatten().unwrap_or_default();
            let users = match read {
                Ok(bytes) if bytes.len() >= LARGEST as usize => Err(format!("{path}: larger than 16 MiB")),
                Ok(bytes) => match core::str::from_utf8(&bytes) {
                    Ok(text) => Users::parse_file(&path, text),
                    Err(_) => Err(format!("{path}: not UTF-8")),
                },
                Err(why) => Err(format!("{path}: {why}")),
            };
            if let Some(file) = self.reading.get_mut(i) {
                *file = None;
            }
            match users {
                Ok(users) => {
                    service.warn(cx, format_args!("{path}: {} users", users.len()));
                    let gate = if i == 0 { &mut self.gate } else { &mut self.upload_gate };
                    gate.replace(users);
                }
                Err(why) => service.warn(cx, format_args!("not reloaded: {why}; the users stay as they were")),
            }
        }
    }
}
