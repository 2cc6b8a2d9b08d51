# docker build -t fisherscape . && docker run --rm -u "$(id -u)" -v "$PWD:/work" fisherscape run quickstart
FROM rust:1-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends musl-tools ca-certificates \
    && rustup target add x86_64-unknown-linux-musl
WORKDIR /src
COPY . .
RUN CARGO_PROFILE_RELEASE_STRIP=symbols cargo build --release --locked --target x86_64-unknown-linux-musl --bin fisherscape

# Nothing but the program, and whom it trusts on the network.
FROM scratch
COPY --from=build /src/target/x86_64-unknown-linux-musl/release/fisherscape /usr/local/bin/fisherscape
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/LICENSE-MIT /src/LICENSE-APACHE /usr/local/share/fisherscape/
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt HF_HOME=/work/.cache/huggingface
WORKDIR /work
ENTRYPOINT ["/usr/local/bin/fisherscape"]
