// Package remote runs commands on hosts, writes files there and tunnels to their sockets. The port is [Host]; its drivers are
// [Client] (SSH, golang.org/x/crypto/ssh), [Link] (a Client that is dialled again when it breaks), [Local] (this machine) and
// [Fake] (tests). All of them pass the suite in remote/remotetest.
//
// Trust: a host's public keys are known before the first connection ([KnownHosts]); there is no trust on first use. The client shows
// a short-lived user certificate signed by the operator's SSH CA ([Authority]). Nothing secret belongs in a command line: it goes
// through stdin or a file, and a command that names a secret in its arguments is refused before it leaves ([ErrSecretInArgs]).
package remote
