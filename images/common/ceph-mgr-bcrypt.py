"""Takes the place of python3-bcrypt for ceph-mgr's modules. The real one is written in Rust, and cannot be loaded in ceph-mgr's subinterpreters
(PyO3 issue 576), so that with it no module of the manager starts. Only the dashboard's and restful's passwords need what it does."""


def _refuse(*_args, **_kwargs):
    raise NotImplementedError("bcrypt cannot be used inside ceph-mgr on this release: see PyO3 issue 576")


gensalt = hashpw = checkpw = kdf = _refuse
