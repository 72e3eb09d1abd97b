package oauthtest

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"time"
)

// selfSigned returns a certificate of the key as an element of x5c.
func selfSigned(k *Key) string {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "attacker"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Private.Public(), k.Private)
	if err != nil {
		panic(fmt.Sprintf("oauthtest: making certificate: %v", err))
	}
	return base64.StdEncoding.EncodeToString(der)
}

// quote shows a text in the name of a case, on one line.
func quote(s string) string { return fmt.Sprintf("%q", s) }
