// Makes a file fit to be sent: a type that every browser shows and the server takes,
// and no more bytes than the server's limit. A larger picture is scaled down here.

const TYPES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const LONGEST_EDGES = [1600, 1200, 800, 480];
const LARGEST_FILE = 40e6;

export const isShown = (type) => TYPES.includes(type);

/** Resolves to {type, name, data: ArrayBuffer}; rejects with a message for the user. */
export async function prepareImage(file, limit) {
  if (!file.type.startsWith("image/")) throw new Error("Only images can be sent.");
  if (file.size > LARGEST_FILE) throw new Error("This file is too large to be scaled down here.");
  if (TYPES.includes(file.type) && file.size <= limit) return result(file, file, file.type);

  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error("This browser can't read that image.");
  }
  try {
    for (const edge of LONGEST_EDGES) {
      const blob = await scaled(bitmap, edge);
      if (blob && blob.size <= limit) return await result(file, blob, blob.type);
    }
  } finally {
    bitmap.close();
  }
  throw new Error("This image is too large, even scaled down.");
}

async function result(file, blob, type) {
  return { type, name: (file.name || "image").slice(0, 80), data: await blob.arrayBuffer() };
}

function scaled(bitmap, edge) {
  const scale = Math.min(1, edge / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.82));
}
