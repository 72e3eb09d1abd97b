package clientdoc

import "container/list"

// lru holds at most max values; the least recently used gives way. It is not safe
// for concurrent use.
type lru[V any] struct {
	max      int
	order    *list.List // of *lruEntry[V], the most recently used first
	elements map[string]*list.Element
}

type lruEntry[V any] struct {
	key   string
	value V
}

func newLRU[V any](max int) *lru[V] {
	return &lru[V]{max: max, order: list.New(), elements: make(map[string]*list.Element)}
}

func (l *lru[V]) get(key string) (value V, ok bool) {
	element, ok := l.elements[key]
	if !ok {
		return value, false
	}
	l.order.MoveToFront(element)
	return element.Value.(*lruEntry[V]).value, true
}

func (l *lru[V]) put(key string, value V) {
	if element, ok := l.elements[key]; ok {
		element.Value.(*lruEntry[V]).value = value
		l.order.MoveToFront(element)
		return
	}
	if l.order.Len() >= l.max {
		l.remove(l.order.Back().Value.(*lruEntry[V]).key)
	}
	l.elements[key] = l.order.PushFront(&lruEntry[V]{key, value})
}

func (l *lru[V]) remove(key string) {
	if element, ok := l.elements[key]; ok {
		l.order.Remove(element)
		delete(l.elements, key)
	}
}
