//! Custody in an S3-compatible object store: a real server on loopback, which checks signatures of requests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use common::custody::{AUTHOR, NOW, Place, cut_off, object, whole};
use futures::TryStreamExt as _;
use hyper_util::{rt::TokioIo, server::conn::auto};
use keepwell_crypto::threshold::{self, Committee};
use keepwell_node::{
    config::{CustodyLimits, S3Config},
    custody::{
        CustodyError, UNNAMED_MS_MAX,
        store::{RecordObject, Store, StoreError},
    },
    random::rng,
};
use object_store::GetRange;
use s3s::{
    S3, S3Request, S3Response, S3Result,
    auth::SimpleAuth,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
        CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
        DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput,
        GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, PutObjectInput,
        PutObjectOutput, UploadPartInput, UploadPartOutput,
    },
    service::S3ServiceBuilder,
};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

const BUCKET: &str = "sealed";
/// More than one part of an upload.
const LARGE: usize = 20 * 1024 * 1024;

/// What the server stores. It makes names of files of ours, longer than a file system takes, so each
/// object goes by a digest of its name.
struct Objects(FileSystem);

fn short(key: &str) -> String {
    let (prefix, name) = key.split_once('/').unwrap();
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    format!("{prefix}/{:016x}", hasher.finish())
}

macro_rules! by_short_name {
    ($($method:ident($input:ident) -> $output:ident),* $(,)?) => {
        #[async_trait::async_trait]
        impl S3 for Objects {
            $(async fn $method(
                &self,
                mut request: S3Request<$input>,
            ) -> S3Result<S3Response<$output>> {
                request.input.key = short(&request.input.key);
                self.0.$method(request).await
            })*

            async fn delete_objects(
                &self,
                mut request: S3Request<DeleteObjectsInput>,
            ) -> S3Result<S3Response<DeleteObjectsOutput>> {
                for object in &mut request.input.delete.objects {
                    object.key = short(&object.key);
                }
                self.0.delete_objects(request).await
            }
        }
    };
}

by_short_name! {
    put_object(PutObjectInput) -> PutObjectOutput,
    get_object(GetObjectInput) -> GetObjectOutput,
    head_object(HeadObjectInput) -> HeadObjectOutput,
    delete_object(DeleteObjectInput) -> DeleteObjectOutput,
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput,
    upload_part(UploadPartInput) -> UploadPartOutput,
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput,
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput,
}

/// An S3 server, and what it stores.
struct Server {
    folder: TempDir,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let objects = Objects(FileSystem::new(folder.path()).unwrap());
        let mut service = S3ServiceBuilder::new(objects);
        service.set_auth(SimpleAuth::from_single("custodian", "its secret"));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                connections.spawn(async move {
                    let server = auto::Builder::new(hyper_util::rt::TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { folder, address, task }
    }

    /// A custodian whose objects are here; its secret is `secret`.
    fn custodian(&self, folder: &Path, secret: &str) -> Place {
        let credentials = folder.join("credentials");
        fs::write(&credentials, format!("custodian\n{secret}\n")).unwrap();
        fs::set_permissions(&credentials, fs::Permissions::from_mode(0o600)).unwrap();
        let store = Store::in_s3(&S3Config {
            bucket: BUCKET.to_owned(),
            region: "eu-central-1".to_owned(),
            endpoint: Some(format!("http://{}", self.address)),
            credentials_file: Some(credentials),
            prefix: "hospital".to_owned(),
        });
        let committee = Committee::new(&threshold::deal(&mut rng(), 4, 3).0).unwrap();
        Place::open_store(store.unwrap(), folder, committee, CustodyLimits::default())
    }

    /// Every object that is there under its name.
    fn objects(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.folder.path().join(BUCKET)];
        let mut objects = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { objects.push(path) }
            }
        }
        objects
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(place: &Place, object: &RecordObject, range: Option<GetRange>) -> Vec<u8> {
    let stretch = place.custody.body(object, range).await.unwrap();
    let pieces: Vec<_> = stretch.bytes.try_collect().await.unwrap();
    pieces.concat()
}

#[tokio::test]
async fn a_sealed_object_comes_back_whole_and_in_stretches() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let place = server.custodian(folder.path(), "its secret");
    for (record, len) in [(1, 0), (2, 5), (3, 100_000), (4, LARGE)] {
        let object = object(record);
        let sealed = place.seal(&object, &vec![7; len]);
        place.put(object, &sealed).await;
        assert!(read(&place, &object, None).await == sealed.body, "{len} bytes came back changed");
        let middle = sealed.body.len() / 2;
        let stretch = GetRange::Bounded(middle as u64..middle as u64 + 10);
        assert_eq!(read(&place, &object, Some(stretch)).await, sealed.body[middle..middle + 10]);
        let capsule = place.custody.capsule(&object).await.unwrap().unwrap();
        assert_eq!(capsule, sealed.capsule.encode());
    }
    assert!(server.objects().iter().all(|path| path.to_string_lossy().contains("hospital")));
}

#[tokio::test]
async fn a_cut_off_upload_leaves_nothing_under_its_name() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let place = server.custodian(folder.path(), "its secret");
    for (record, len) in [(1, 10), (2, LARGE)] {
        let object = object(record);
        let sealed = place.seal(&object, &vec![7; len]);
        let ended = place.custody.put_body(object, AUTHOR, NOW, cut_off(&sealed.body)).await;
        assert!(matches!(ended, Err(CustodyError::Store(StoreError::CutOff))), "{ended:?}");
        let found = place.custody.body(&object, None).await;
        assert!(matches!(found, Err(CustodyError::Store(StoreError::NotFound))));
        place.put(object, &sealed).await;
        assert!(read(&place, &object, None).await == sealed.body);
    }
}

#[tokio::test]
async fn what_nothing_names_is_deleted() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let place = server.custodian(folder.path(), "its secret");
    place.put(object(1), &place.seal(&object(1), b"content")).await;
    assert!(!server.objects().is_empty());
    let later = NOW.plus_ms(UNNAMED_MS_MAX + 1);
    assert_eq!(place.custody.sweep(later, |_, _| Some(false)).await.unwrap(), 1);
    let found = place.custody.body(&object(1), None).await;
    assert!(matches!(found, Err(CustodyError::Store(StoreError::NotFound))));
}

#[tokio::test]
async fn a_wrong_secret_and_a_lost_server_are_the_custodians_fault() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let put = async |place: &Place| {
        let sealed = place.seal(&object(1), b"content");
        place.custody.put_body(object(1), AUTHOR, NOW, whole(&sealed.body)).await
    };
    let stranger = server.custodian(folder.path(), "another secret");
    let refused = put(&stranger).await;
    assert!(matches!(refused, Err(CustodyError::Store(StoreError::Failed(_)))), "{refused:?}");
    assert!(server.objects().is_empty(), "nothing is stored without the right secret");

    let own = tempfile::tempdir().unwrap();
    let place = server.custodian(own.path(), "its secret");
    drop(server);
    let lost = put(&place).await.unwrap_err();
    assert!(matches!(lost, CustodyError::Store(StoreError::Failed(_))), "{lost:?}");
    assert!(lost.to_string().contains("another custodian"), "{lost}");
}
