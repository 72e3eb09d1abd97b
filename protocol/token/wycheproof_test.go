package token

// This file judges our signature checks with Wycheproof's vectors. Their
// payloads are no claim sets, so it goes below Present and Verify.

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
)

// wycheproofModule is fetched apart from go.mod, as Go's own tests do: later
// versions ask for a later Go, and nobody who uses this module needs it.
const wycheproofModule = "github.com/C2SP/wycheproof@v0.0.0-20250901140545-b51abcfb8daf"

// differing lists the vectors that we judge otherwise, by type of the group and
// number, with the reason.
var differing = map[string]map[int]string{
	"JsonWebSignature": {
		346: "the JWK says alg PS256, the token is PS384: a key is for its algorithm only (RFC 7517, section 4.4)",
		350: "the JWK says alg PS256, the token is PS384",
		347: "the JWK says alg ES521, which doesn't exist; the token is ES512",
		351: "the JWK says alg ES521, which doesn't exist; the token is ES512",
	},
	"JsonWebKey": {
		7: "accepted: keys made by Infineon's broken generator (ROCA, 2017) are their issuer's concern; neither Go nor go-jose looks for them",
	},
}

type wycheproofFile struct {
	NumberOfTests int
	TestGroups    []struct {
		Type    string
		Comment string
		Public  json.RawMessage
		Private json.RawMessage
		Tests   []struct {
			ID      int             `json:"tcId"`
			Comment string          `json:"comment"`
			JWS     json.RawMessage `json:"jws"`
			Result  string          `json:"result"`
		}
	}
}

// wycheproof returns the vectors in the file of that name.
func wycheproof(t *testing.T, name string) wycheproofFile {
	t.Helper()
	give := t.Skipf
	if os.Getenv("CI") == "true" {
		give = t.Fatalf
	}
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", wycheproofModule)
	cmd.Dir = t.TempDir() // outside of our module
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &module); err != nil || jsonErr != nil || module.Dir == "" {
		give("Wycheproof's vectors are not to be had: %v %s", errors.Join(err, jsonErr), module.Error)
	}
	b, err := os.ReadFile(filepath.Join(module.Dir, "testvectors_v1", name))
	if err != nil {
		t.Fatal(err)
	}
	var file wycheproofFile
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	return file
}

// checkVector checks a JWS as Present and Verify do, but for the payload.
func checkVector(set *keys.Set, raw string) error {
	part := strings.Split(raw, ".")
	if len(part) != 3 {
		return errors.New("not three parts")
	}
	if strings.ContainsAny(raw, "\r\n") {
		return errors.New("line break")
	}
	header, err := base64url.DecodeString(part[0])
	if err != nil {
		return err
	}
	jws := &JWS{input: part[0] + "." + part[1]}
	if err := jws.readHeader(header); err != nil {
		return err
	}
	if jws.payload, err = base64url.DecodeString(part[1]); err != nil {
		return err
	}
	if jws.signature, err = base64url.DecodeString(part[2]); err != nil {
		return err
	}
	if !keys.Supported(jws.Algorithm) {
		return invalid(WrongAlgorithm, "%s", jws.Algorithm)
	}
	return verify(set, jws)
}

func TestWycheproof(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ file, document string }{
		{"json_web_signature_test.json", `{"keys":[%s]}`},
		{"json_web_key_test.json", "%s"},
	} {
		t.Run(tc.file, func(t *testing.T) {
			t.Parallel()
			file := wycheproof(t, tc.file)
			checked, accepted := 0, 0
			for _, group := range file.TestGroups {
				// A group without public key is one of MACs. What a verifier would
				// have to be given then is the secret: it must not be used either.
				key, symmetric := group.Public, group.Public == nil
				if symmetric {
					key = group.Private
				}
				set, err := keys.ParseSet([]byte(strings.Replace(tc.document, "%s", string(key), 1)))
				if err != nil {
					set = new(keys.Set)
				}
				for _, v := range group.Tests {
					var raw string
					if json.Unmarshal(v.JWS, &raw) != nil {
						raw = string(v.JWS) // JSON serialization
					}
					checked++
					err := checkVector(set, raw)
					reason, differs := differing[group.Type][v.ID]
					want := (v.Result == "valid" && !symmetric) != differs
					if got := err == nil; got != want {
						t.Errorf("%s, %d %s: got %v, want accepted %t (%s, the vector says %s)",
							group.Comment, v.ID, v.Comment, err, want, reason, v.Result)
					}
					if err == nil {
						accepted++
					}
				}
			}
			if checked != file.NumberOfTests || checked == 0 {
				t.Errorf("got %d vectors, want %d", checked, file.NumberOfTests)
			}
			t.Logf("%d vectors, %d accepted", checked, accepted)
		})
	}
}
