package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/keys"
	"github.com/caddy-mcp-auth/caddy-mcp-auth/protocol/outbound"
)

const (
	// usable is how long metadata and keys are used while the issuer can't be
	// reached. After that long an outage, every token of the issuer is at least this
	// old.
	usable = 24 * time.Hour

	// A key set is refreshed when it is as old as its Cache-Control allows, within
	// these bounds: often enough that a withdrawn key soon stops working, but not so
	// often that it burdens the issuer.
	defaultKeysFresh = 10 * time.Minute
	minKeysFresh     = 1 * time.Minute
	maxKeysFresh     = 1 * time.Hour

	metadataFresh = 1 * time.Hour
)

// The documents that [Config.OnFetch] reports.
const (
	MetadataDocument = "metadata"
	KeysDocument     = "keys"
)

// Config describes an authorization server.
type Config struct {
	// Issuer is its identifier: an https URL, or http on loopback. Any http URL is
	// allowed if Location is given or discovery is Off: it is only a name then.
	// Required.
	Issuer string

	// Location is where its metadata lives, if not at one of the well-known
	// places.
	Location string

	// Upstream is where the issuer is reached, if not at its own address: its
	// metadata is looked for there.
	Upstream string

	// AnyIssuer accepts metadata that names another issuer. It is only for callers
	// that check the issuer themselves and take no keys from the metadata.
	AnyIssuer bool

	// Off says that there is no metadata to fetch: everything is in Metadata.
	Off bool

	// Metadata sets fields by hand; they override fetched ones. An endpoint that is
	// set here is used without fetching any metadata.
	Metadata map[string]any

	// Validate, if not nil, is called with fetched metadata after Metadata has been
	// applied. If it returns an error, the metadata isn't used, as if the fetch had
	// failed.
	Validate func(*Metadata) error

	// Client talks to the authorization server. Nil means
	// [outbound.NewClient].
	Client *http.Client

	// OnFetch, if not nil, is called with the outcome of every fetch.
	OnFetch func(document string, err error)

	// OnMetadata, if not nil, is called with fetched metadata that is new or has
	// changed, after Metadata has been applied.
	OnMetadata func(*Metadata)

	// Now returns the time. Nil means [time.Now].
	Now func() time.Time
}

// Issuer holds what is known about an authorization server. It is safe for concurrent
// use, and should be kept for as long as possible.
type Issuer struct {
	config    Config
	locations []string
	stop      context.CancelFunc
	metadata  kept[*Metadata]
	keys      kept[*keys.Set]
	// lastReported is the metadata that OnMetadata was last called with. It needs no
	// lock: there is one fetch at a time.
	lastReported *Metadata
}

// New returns the authorization server of config. It sends no request yet. Close it
// when it is no longer needed.
func New(config Config) (*Issuer, error) {
	locations, err := Locations(config.Issuer)
	if err != nil {
		if !config.namedInTheClear() {
			return nil, err
		}
		// AD FS signs access tokens as http://<host>/adfs/services/trust. A name
		// is harmless as long as nothing is fetched from it.
		locations = nil
	}
	if config.Upstream != "" {
		if locations, err = upstreamLocations(config.Upstream); err != nil {
			return nil, fmt.Errorf("upstream: %w", err)
		}
	}
	if config.Location != "" {
		if config.Off {
			return nil, errors.New("discovery is both off and given a location")
		}
		if err := checkEndpoint("discovery", config.Location); err != nil {
			return nil, err
		}
		locations = []string{config.Location}
	}
	byHand := make(map[string]any, len(config.Metadata))
	for _, name := range slices.Sorted(maps.Keys(config.Metadata)) {
		value, err := FieldValue(name, config.Metadata[name])
		if err != nil {
			return nil, err
		}
		byHand[name] = value
		if !isAddress(name) {
			continue
		}
		address, _ := value.(string)
		if err := checkEndpoint("metadata "+name, address); err != nil {
			return nil, err
		}
	}
	config.Metadata = byHand
	if config.Client == nil {
		config.Client = outbound.NewClient()
	}
	if config.OnFetch == nil {
		config.OnFetch = func(string, error) {}
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	lifetime, stop := context.WithCancel(context.Background())
	iss := &Issuer{config: config, locations: locations, stop: stop}
	iss.metadata = kept[*Metadata]{
		lifetime: lifetime,
		now:      config.Now,
		get:      iss.fetchMetadata,
		same:     (*Metadata).equal,
		usable:   usable,
	}
	iss.keys = kept[*keys.Set]{
		lifetime: lifetime,
		now:      config.Now,
		get:      iss.fetchKeys,
		same:     (*keys.Set).Equal,
		usable:   usable,
	}
	return iss, nil
}

// namedInTheClear reports whether the issuer's identifier is an http URL that is only
// compared, because the metadata, or everything that would be in it, comes from
// elsewhere.
func (c *Config) namedInTheClear() bool {
	u, err := url.Parse(c.Issuer)
	return err == nil && u.Scheme == "http" && u.Host != "" && (c.Location != "" || c.Off)
}

// Close ends every fetch under way.
func (iss *Issuer) Close() {
	iss.stop()
	iss.config.Client.CloseIdleConnections()
}

// Client returns the HTTP client that talks to the authorization server.
func (iss *Issuer) Client() *http.Client { return iss.config.Client }

// Metadata returns the authorization server's metadata, with the fields that are set
// by hand. Its error is a [*outbound.UnavailableError].
func (iss *Issuer) Metadata(ctx context.Context) (*Metadata, error) {
	return iss.metadata.load(ctx, time.Time{})
}

// KeySet implements [keys.Source].
func (iss *Issuer) KeySet(ctx context.Context, since time.Time) (*keys.Set, error) {
	return iss.keys.load(ctx, since)
}

// Endpoint returns the URL in the metadata field name, such as
// introspection_endpoint. One that is set by hand needs no metadata.
func (iss *Issuer) Endpoint(ctx context.Context, name string) (string, error) {
	byHand := &Metadata{fields: iss.config.Metadata}
	if byHand.Text(name) != "" {
		return byHand.endpoint(name)
	}
	m, err := iss.Metadata(ctx)
	if err != nil {
		return "", err
	}
	if m.Text(name) == "" && !iss.config.Off {
		// An operator may be about to add the field, so metadata that lacks it isn't
		// kept for as long as metadata that has it.
		if m, err = iss.metadata.load(ctx, iss.config.Now()); err != nil {
			return "", err
		}
	}
	return m.endpoint(name)
}

// Knows reports whether the metadata field name is set by hand, or could be
// discovered.
func (iss *Issuer) Knows(name string) bool {
	return !iss.config.Off || iss.config.Metadata[name] != nil
}

func (iss *Issuer) fetchMetadata(ctx context.Context) (_ *Metadata, _ time.Duration, err error) {
	if iss.config.Off {
		m := &Metadata{fields: maps.Clone(iss.config.Metadata)}
		m.fields["issuer"] = iss.config.Issuer // required (RFC 8414, section 2)
		return m, metadataFresh, nil
	}
	defer func() { iss.config.OnFetch(MetadataDocument, err) }()
	issuer := iss.config.Issuer
	if iss.config.AnyIssuer {
		issuer = ""
	}
	m, _, err := discover(ctx, iss.config.Client, issuer, iss.locations)
	if err != nil {
		return nil, 0, err
	}
	maps.Copy(m.fields, iss.config.Metadata)
	if validate := iss.config.Validate; validate != nil {
		if err := validate(m); err != nil {
			return nil, 0, err
		}
	}
	if tell := iss.config.OnMetadata; tell != nil && (iss.lastReported == nil || !iss.lastReported.equal(m)) {
		iss.lastReported = m
		tell(m)
	}
	return m, metadataFresh, nil
}

func (iss *Issuer) fetchKeys(ctx context.Context) (_ *keys.Set, _ time.Duration, err error) {
	address, err := iss.Endpoint(ctx, "jwks_uri")
	if unavailable, ok := errors.AsType[*outbound.UnavailableError](err); ok {
		// This is the metadata's failure. It has been reported already, and the
		// caller adds the context again.
		return nil, 0, cmp.Or(errors.Unwrap(unavailable.Err), unavailable.Err)
	}
	defer func() { iss.config.OnFetch(KeysDocument, err) }()
	if err != nil {
		return nil, 0, err
	}
	doc, err := fetch(ctx, iss.config.Client, address)
	if err != nil {
		iss.metadata.expire() // the keys may have moved
		return nil, 0, err
	}
	set, err := keys.ParseSet(doc.body)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", address, err)
	}
	fresh := defaultKeysFresh
	if doc.maxAge > 0 {
		fresh = min(max(doc.maxAge, minKeysFresh), maxKeysFresh)
	}
	return set, fresh, nil
}
