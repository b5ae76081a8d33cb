"""What the page looks like, and its scripts of one line."""

INTRODUCTION = """# Llamaberry
A model answers, a program checks the answer where one can, and further turns revise it.
Each step appears here while it is written."""

PHONE_WIDTH = 768
"""Below it, in pixels, Gradio's sidebars cover the page."""
IS_WIDE = f"() => window.innerWidth >= {PHONE_WIDTH}"
CLOSE_ON_PHONE = (
    f"() => {{ if (window.innerWidth < {PHONE_WIDTH}) document.querySelector('#threads .toggle-button').click(); }}"
)
TOGGLE_DARK = "() => { document.body.classList.toggle('dark'); }"

CSS = """
footer, #chat .top-panel, #chat .message:has(.thought-group) + .message-buttons { display: none !important; }
.toggle-button .chevron { display: none; }
#threads .toggle-button::after { content: "☰"; }
#settings .toggle-button::after { content: "⚙"; }
.toggle-button::after { font-size: 1.1rem; color: var(--body-text-color); }

#center { max-width: 54rem; height: calc(100dvh - 2rem); margin-inline: auto; gap: .5rem; flex-wrap: nowrap; }
#chat { flex: 1 1 0; min-height: 0 !important; border-width: 0 !important; background: transparent; }
#chat .message-row { margin: 0 !important; padding: .5rem 0 !important; background: transparent; }
#chat .flex-wrap { padding: .25rem .5rem !important; }
#chat .message { margin: 0 !important; padding: .25rem 0 !important; background: transparent; }
#chat .user-row .flex-wrap { flex-direction: row; align-items: center; gap: .5rem; padding: .25rem 1rem !important; }
#chat .user-row .flex-wrap { background: var(--background-fill-secondary); border-radius: var(--radius-xl); }
#chat .user-row .user { flex: 1; min-width: 0; display: flex; align-items: center; }
#chat .user-row .user > .message { flex: 1; min-width: 0; }
#chat .edit-textarea { width: 100% !important; min-height: 3lh !important; }
#chat .message-content, #chat .thought-group { overflow-wrap: anywhere; }
#chat .thought-group { margin: 0; padding: .35rem .75rem; }
#chat .thought-group .title { width: 100%; }
#chat .thought-group .duration { margin-left: auto; white-space: nowrap; padding-left: .75rem; }
#chat .message :is(h1, h2, h3) { font-size: 1.05em; margin: .75em 0 .25em; }
#chat .placeholder-content { padding: 12vh 1rem 1rem; }
#chat del { color: #b91c1c; }
.dark #chat del { color: #f87171; }
#chat .figures { opacity: .75; font-size: .85em; }

#threads .form { border: none; background: transparent; }
#thread-list { padding: 0; border-width: 0 !important; background: transparent; }
#thread-list .wrap { flex-direction: column; flex-wrap: nowrap; gap: 2px; max-height: 65vh; overflow-y: auto; }
#thread-list label { width: 100%; border: none; background: transparent; box-shadow: none; padding: .4rem .6rem; }
#thread-list label.selected { background: var(--background-fill-primary); color: var(--body-text-color); }
#thread-list label input { display: none; }
#thread-list label span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; margin: 0; }
@media (max-width: 767px) {
  .main { padding: .5rem !important; }
  #center { height: calc(100dvh - 1.5rem); }
  #chat { padding-top: 2.5rem; }
  #chat .thought-group .duration { white-space: normal; text-align: right; }
}
"""
