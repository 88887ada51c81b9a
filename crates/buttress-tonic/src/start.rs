use std::sync::Arc;

use buttress::{
    Grpc, Stack,
    http::RespondLayer,
    stack::{Client, Server, Slots},
};
use tower_layer::Identity;

use crate::{StatusLayer, StatusResponder, TonicBody, TrailersLayer};

/// The stack of a channel, as [`client`] begins it.
pub type ClientStart = Stack<Client<Grpc, TonicBody>, Slots<StatusLayer>>;

/// The stack of a server, as [`server`] begins it.
pub type ServerStart = Stack<Server<Grpc>, Slots<TrailersLayer, Identity, RespondLayer<StatusResponder>>>;

/// Begins the stack around a channel, or around anything that a generated client takes: [`Stack::grpc_client`] with
/// [`StatusLayer`] outermost, and request bodies of tonic's type.
///
/// An [`outside`](Stack::outside) layer of your own takes the place of [`StatusLayer`]: give it a
/// `tower::ServiceBuilder` of both, [`StatusLayer`] first.
pub fn client(name: impl Into<Arc<str>>) -> ClientStart {
    Stack::grpc_client(name)
        .body_mode(TonicBody)
        .outside(StatusLayer::new())
}

/// Begins the stack around the services of a server: [`Stack::grpc_server`] whose refusals are made by
/// [`StatusResponder`], with [`TrailersLayer`] outermost.
///
/// An [`outside`](Stack::outside) layer of your own takes the place of [`TrailersLayer`]: give it a
/// `tower::ServiceBuilder` of both.
pub fn server(name: impl Into<Arc<str>>) -> ServerStart {
    Stack::grpc_server(name)
        .respond_with(StatusResponder::new())
        .outside(TrailersLayer::new())
}
