package mcp

// schemesMember is the member of a tool, and of its _meta, that says how its callers
// sign in (OpenAI, Apps SDK).
const schemesMember = "securitySchemes"

// schemePlaces are where a tool has its securitySchemes, or could have them. An edit
// without an end means that the value isn't there.
type schemePlaces struct {
	own     edit // its value in the tool
	meta    edit // the value of _meta
	inMeta  edit // its value in _meta
	isEmpty bool // _meta has no members
	end     int  // after the tool
}

// meta reads the _meta of an entry.
func (f *filter) meta(at, depth int, places *schemePlaces) (end int, rule Rule) {
	if f.first(at) != '{' {
		end, rule = f.value(at, depth)
		places.meta = edit{start: at, end: end}
		return end, rule
	}
	places.isEmpty = true
	end, rule = f.object(at, depth, func(member []byte, at int) (int, Rule) {
		isSchemes := string(member) == schemesMember
		places.isEmpty = false
		end, rule := f.value(at, depth+1)
		if isSchemes {
			places.inMeta = edit{start: at, end: end}
		}
		return end, rule
	})
	places.meta = edit{start: at, end: end}
	return end, rule
}

// setSchemes sets the schemes of a tool. It reports false if the answer becomes too
// large.
func (f *filter) setSchemes(places schemePlaces, schemes string) bool {
	if schemes == "" {
		return true
	}
	const member = `"` + schemesMember + `":`
	put := func(start, end int, text string) {
		f.added += len(text)
		f.replace(edit{start, end, text})
	}
	missing := "" // at the end of the tool
	if places.own.end > 0 {
		put(places.own.start, places.own.end, schemes)
	} else {
		missing += "," + member + schemes
	}
	switch {
	case places.inMeta.end > 0:
		put(places.inMeta.start, places.inMeta.end, schemes)
	case places.meta.end == 0:
		missing += `,"_meta":{` + member + schemes + "}"
	case f.b[places.meta.start] != '{':
		put(places.meta.start, places.meta.end, "{"+member+schemes+"}")
	case places.isEmpty:
		put(places.meta.start+1, places.meta.start+1, member+schemes)
	default:
		put(places.meta.start+1, places.meta.start+1, member+schemes+",")
	}
	if missing != "" {
		put(places.end-1, places.end-1, missing)
	}
	return f.added <= f.lists.Max
}
