package caddymcpauth

import (
	"mime"
	"net/http"
)

// conditions are the headers that ask for a part of an answer, or for none if it hasn't
// changed.
var conditions = []string{"Range", "If-Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"}

// needsCacheScope reports whether lists say for whom they may be kept: since
// 2026-07-28 they do.
func needsCacheScope(version string) bool {
	return len(version) == len("2026-07-28") && version >= "2026-07-28"
}

// mediaTypeOf returns the media type of an answer with these values of Content-Type.
func mediaTypeOf(types []string) string {
	if len(types) == 0 {
		return ""
	}
	if types[0] == "application/json" || types[0] == "text/event-stream" {
		return types[0] // as nearly all answers
	}
	mediaType, _, _ := mime.ParseMediaType(types[0])
	return mediaType
}

// withoutValidators deletes what was true of the answer before it was filtered.
func withoutValidators(header http.Header) {
	for _, name := range []string{"Content-Length", "Etag", "Last-Modified", "Accept-Ranges", "Content-Range", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest", "Trailer"} {
		header.Del(name)
	}
}

// withoutContent deletes what is about a body that isn't sent.
func withoutContent(header http.Header) {
	withoutValidators(header)
	for _, name := range []string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Content-Location"} {
		header.Del(name)
	}
}
