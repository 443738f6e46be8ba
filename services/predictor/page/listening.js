// Listening to server-sent events by fetch, since an EventSource sends no token.

// Each event of a stream that has ended or fails to be told, in the order in which they come.
export async function listen(stream, onEvent) {
  let text = "";
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    blocks.forEach((block) => onEvent(parsed(block)));
  }
}

function parsed(block) {
  const event = { name: "message", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) event.name = line.slice(7);
    if (line.startsWith("data: ")) event.data += line.slice(6);
  }
  return event;
}
