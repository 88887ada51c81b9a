/// HTTP: the status decides, then the body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http<C = StatusVerdict> {
    classify: C,
}

/// gRPC: the `grpc-status` decides, in the trailers or, where there is no body, in the headers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grpc<C = CodeVerdict> {
    classify: C,
}

/// The judgement of [`Http`] by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusVerdict {
    _private: (),
}

/// The judgement of [`Grpc`] by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct CodeVerdict {
    _private: (),
}
