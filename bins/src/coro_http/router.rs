//! Which handler a request is for.
use super::message::{Error, Request, Response, decode};
use crate::coro::BoxFuture;
use proto_core::http1::Method;

/// What a handler gives.
pub type Answered = Result<Response, Error>;
type Handler = Box<dyn Fn(Request) -> BoxFuture<Answered> + Send + Sync>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Text(&'static str),
    Name(&'static str),
}

struct Route {
    method: Method,
    parts: Vec<Part>,
    handler: Handler,
}

/// Routes, and what is done without one.
///
/// ```
/// use bins::coro_http::{Request, Response, Router};
/// use core::time::Duration;
/// use proto_core::http1::Method;
///
/// let router = Router::default()
///     .route(Method::Get, "/hello/:name", async |request: Request| {
///         let name: String = request.param("name")?;
///         request.cx().sleep(Duration::from_millis(10)).await;
///         Ok(Response::text(format!("Hello, {name}!\n")))
///     });
/// ```
#[derive(Default)]
pub struct Router {
    routes: Vec<Route>,
    fallback: Option<Handler>,
}

impl core::fmt::Debug for Router {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Router").field("routes", &self.routes.len()).finish()
    }
}

fn boxed<F>(handler: impl Fn(Request) -> F + Send + Sync + 'static) -> Handler
where
    F: Future<Output = Answered> + Send + 'static,
{
    Box::new(move |request| Box::pin(handler(request)))
}

impl Router {
    /// Adds a route: `/path/:name`, where `:name` stands for one part of a path. GET answers HEAD too.
    #[must_use]
    pub fn route<F>(
        mut self,
        method: Method,
        pattern: &'static str,
        handler: impl Fn(Request) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answered> + Send + 'static,
    {
        let part = |p: &'static str| p.strip_prefix(':').map_or(Part::Text(p), Part::Name);
        let parts = pattern.split('/').skip(1).map(part).collect();
        self.routes.push(Route { method, parts, handler: boxed(handler) });
        self
    }
    /// What GET and HEAD of every other path do.
    #[must_use]
    pub fn fallback<F>(mut self, handler: impl Fn(Request) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answered> + Send + 'static,
    {
        self.fallback = Some(boxed(handler));
        self
    }
    /// The answer to a request: 404 without a route, 405 with `Allow` without its method.
    pub fn answer(&self, mut request: Request) -> BoxFuture<Answered> {
        let mut allowed = Vec::new();
        let asked = match request.method() {
            Method::Head => Method::Get,
            other => other,
        };
        for route in &self.routes {
            let Some(params) = route.matches(request.path()) else { continue };
            if route.method == asked {
                request.params = params;
                return (route.handler)(request);
            }
            allowed.push(route.method);
        }
        if let Some(handler) = self.fallback.as_ref().filter(|_| allowed.is_empty()) {
            if asked == Method::Get {
                return handler(request);
            }
            allowed.push(Method::Get);
        }
        Box::pin(core::future::ready(if allowed.is_empty() {
            Err(Error::status(404))
        } else {
            Ok(Response::page(405).field("Allow", &allow(&allowed)))
        }))
    }
}

fn allow(methods: &[Method]) -> String {
    let names = methods.iter().flat_map(|m| match m {
        Method::Get => vec!["GET", "HEAD"],
        Method::Post => vec!["POST"],
        Method::Put => vec!["PUT"],
        Method::Delete => vec!["DELETE"],
        Method::Patch => vec!["PATCH"],
        Method::Options => vec!["OPTIONS"],
        Method::Head | Method::Trace | Method::Connect | Method::Other => vec![],
    });
    names.collect::<Vec<_>>().join(", ")
}

impl Route {
    fn matches(&self, path: &str) -> Option<Vec<(&'static str, String)>> {
        let mut params = Vec::new();
        let mut given = path.split('/').skip(1);
        for part in &self.parts {
            let text = given.next()?;
            match part {
                Part::Text(t) if *t == text => {}
                Part::Text(_) => return None,
                Part::Name(name) => params.push((*name, decode(text, false).filter(|t| !t.is_empty())?)),
            }
        }
        given.next().is_none().then_some(params)
    }
}
