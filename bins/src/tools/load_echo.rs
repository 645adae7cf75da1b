//! `epoll_echo_server`, `io_uring_echo_server`: the same app on the driver of its name.
use super::simulate::{Scene, simulate};
use super::{running, server_plan};
use crate::cli::{DriverArgs, Plan, ServerArgs, Tool};
use crate::echo::load::LoadEcho;
use crate::outcome::{Code, Failure};
use crate::service::Settings;
use clap::{Args, Parser};
use drivers::Kind;
use proto_core::{Shard, echo::Mode};

#[derive(Args, Clone, Debug)]
struct Flags {
    #[command(flatten)]
    args: ServerArgs,
    /// Whether HTTP requests are answered as such: auto (the first bytes decide), on or off
    #[arg(long, value_name = "MODE", default_value = "auto", value_parser = ["auto", "on", "off"])]
    http: String,
}

impl Flags {
    fn app(&self) -> LoadEcho {
        let mode = match self.http.as_str() {
            "on" => Mode::On,
            "off" => Mode::Off,
            _ => Mode::Auto,
        };
        LoadEcho::new(Settings::new(&self.args, None), mode)
    }
}

macro_rules! tool {
    ($(#[$doc:meta])* $tool:ident, $name:literal, $driver:expr) => {
        $(#[$doc])*
        #[derive(Parser, Clone, Debug)]
        #[command(name = $name, version, max_term_width = 100, after_help = concat!("\
Examples:
  ", $name, " 9000
  ", $name, " 9000 --stats                  print statistics, or ask the server that runs there
  ", $name, " 9000 --threads 2              two loops that share the port
  wrk -t2 -c1000 -d10s http://localhost:9000/   any HTTP load generator will do
  nc localhost 9000                             and a plain echo for anything else"))]
        pub struct $tool {
            #[command(flatten)]
            flags: Flags,
        }

        impl Tool for $tool {
            type App = LoadEcho;
            const NAME: &'static str = $name;
            const DRIVER: Kind = $driver;

            fn driver(&self) -> &DriverArgs {
                &self.flags.args.driver
            }
            fn instead(&self) -> Option<Result<Code, Failure>> {
                running(Self::NAME, &self.flags.args)
            }
            fn simulate(&self) -> Result<Code, Failure> {
                simulate(self, self.flags.args.driver.sim.as_ref(), Scene::Streams)
            }
            fn plan(&self) -> Result<Plan, Failure> {
                server_plan(Self::NAME, &self.flags.args)
            }
            fn app(&self, _: Shard) -> LoadEcho {
                self.flags.app()
            }
        }
    };
}

tool! {
    /// An echo for ten thousand connections in one thread, on edge-triggered epoll
    EpollEchoTool, "epoll_echo_server", Kind::Epoll
}
tool! {
    /// The same echo on io_uring: the kernel does the I/O and reports when it is done
    IoUringEchoTool, "io_uring_echo_server", Kind::IoUring
}
