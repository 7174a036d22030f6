package remote

import (
	"regexp"
	"sort"
	"strings"
)

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// secretPatterns are forms that are secret wherever they appear: PEM private keys (also cut off), and CephX keys (type 1, 16 bytes: base64 that starts
// with AQ, CryptoKey::encode in Ceph's src/auth/Crypto.cc).
var secretPatterns = []*regexp.Regexp{
	regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|$)`),
	regexp.MustCompile(`AGE-SECRET-KEY-1[A-Z0-9]+`),
	regexp.MustCompile(`\bAQ[A-Za-z0-9+/]{36}==`),
}

// secretField matches `password=…`, `key: …` and the like; the value is replaced, the name stays.
var secretField = regexp.MustCompile(`(?i)\b(password|passwd|passphrase|secret|token)(\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;]+)`)

// Redact takes out of a text the given secrets and what looks like one. It is the one place where that is decided: every error of this
// package has passed through it. Longer secrets go first, so that one that contains another leaves nothing behind.
func Redact(text string, secrets ...string) string {
	sorted := append([]string(nil), secrets...)
	sort.Slice(sorted, func(i, j int) bool { return len(sorted[i]) > len(sorted[j]) })
	for _, s := range sorted {
		if s != "" {
			text = strings.ReplaceAll(text, s, Redacted)
		}
	}
	for _, p := range secretPatterns {
		text = p.ReplaceAllString(text, Redacted)
	}
	return secretField.ReplaceAllString(text, "${1}${2}"+Redacted)
}

func (c Command) redact(text string) string { return Redact(text, c.Secrets...) }
