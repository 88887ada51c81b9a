//! Endpoints from a stream.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Weak},
    task::Poll,
};

use tower::discover::{Change, Discover};

use super::{Pool, endpoint::Endpoint, shared::Shared};

impl<T> Pool<T> {
    /// Adds and removes endpoints as a stream of changes says: `make` makes an endpoint of each key and what comes
    /// with it. A key that comes again replaces the endpoint it had; one whose endpoint is refused (an empty name, a
    /// weight of 0, the name of an endpoint that did not come from the stream) is logged and left out. Endpoints that
    /// did not come from the stream stay as they are.
    ///
    /// Spawn the future. It ends when the stream ends or the pool is gone; endpoints that came from the stream then
    /// stay.
    ///
    /// # Errors
    ///
    /// The stream's own. It is not asked again after that: the endpoints are the last that were known.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the endpoints as they are.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use buttress::{ErrorLayer, pool::{Endpoint, Pool}};
    /// use tower::{Layer, discover::ServiceList, service_fn};
    ///
    /// let node = |n: u32| ErrorLayer::new().layer(service_fn(move |()| async move { Ok::<_, std::io::Error>(n) }));
    /// let changes = ServiceList::new::<()>([1, 2].map(node));
    ///
    /// let pool = Pool::builder().build()?;
    /// let following = pool.follow(changes, |key, node| Endpoint::new(format!("node-{key}"), node));
    /// tokio::spawn(following).await??;
    /// assert_eq!(*pool.endpoints(), ["node-0".into(), "node-1".into()]);
    /// # Ok(()) }
    /// ```
    pub fn follow<D, F>(
        &self,
        changes: D,
        make: F,
    ) -> impl Future<Output = Result<(), D::Error>> + use<T, D, F>
    where
        D: Discover,
        F: Fn(&D::Key, D::Service) -> Endpoint<T>,
    {
        follow(
            Arc::downgrade(&self.shared),
            self.shared.hub.changed.clone(),
            changes,
            make,
        )
    }
}

async fn follow<T, D, F>(
    shared: Weak<Shared<T>>,
    changed: Arc<tokio::sync::Notify>,
    changes: D,
    make: F,
) -> Result<(), D::Error>
where
    D: Discover,
    F: Fn(&D::Key, D::Service) -> Endpoint<T>,
{
    let mut changes = pin!(changes);
    let mut known: Vec<(D::Key, Arc<str>)> = Vec::new();
    loop {
        let change = {
            // That of the pool's end, too.
            let mut other = pin!(changed.notified());
            poll_fn(|cx| {
                if other.as_mut().poll(cx).is_ready() || shared.strong_count() == 0 {
                    return Poll::Ready(None);
                }
                changes.as_mut().poll_discover(cx).map(Some)
            })
            .await
        };
        let Some(pool) = shared.upgrade() else {
            return Ok(());
        };
        match change {
            None => {}
            Some(None) => return Ok(()),
            Some(Some(Err(error))) => return Err(error),
            Some(Some(Ok(Change::Remove(key)))) => {
                if let Some(at) = known.iter().position(|(k, _)| *k == key) {
                    let (_, name) = known.swap_remove(at);
                    pool.remove(&name);
                }
            }
            Some(Some(Ok(Change::Insert(key, target)))) => {
                let endpoint = make(&key, target);
                let name = endpoint.name.clone();
                let at = known.iter().position(|(k, _)| *k == key);
                let same = at.is_some_and(|at| known[at].1 == name);
                match pool.add(endpoint, same) {
                    Ok(_) if same => {}
                    Ok(_) => {
                        if let Some(at) = at {
                            let (_, before) = known.swap_remove(at);
                            pool.remove(&before);
                        }
                        known.push((key, name));
                    }
                    Err(error) => {
                        tracing::warn!(target: "buttress::pool", pool = %pool.hub.name(), endpoint = %name, %error, "a discovered endpoint is left out");
                    }
                }
            }
        }
    }
}
