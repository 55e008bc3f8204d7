package ship

import (
	"bytes"
	"encoding/pem"
	"strings"
)

// EncryptedKey reports whether the private key that TLS would take of a PEM file,
// the first one, is encrypted, in any of the forms there are: PKCS #8, OpenSSL's
// of old (RFC 1421) or OpenSSH's.
func EncryptedKey(content []byte) bool {
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case !strings.HasSuffix(block.Type, "PRIVATE KEY"):
			continue
		case block.Type == "OPENSSH PRIVATE KEY":
			return !bytes.HasPrefix(block.Bytes, []byte("openssh-key-v1\x00\x00\x00\x00\x04none"))
		}
		return block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
	}
	return false
}
