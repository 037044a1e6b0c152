// Shows what the server tells a browser whose owner is not looking; docs/push.md.

self.addEventListener("push", (event) => {
  const news = event.data.json();
  event.waitUntil(self.registration.showNotification(news.title, { body: news.text, tag: news.id, data: news, icon: "icon.svg" }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const conversation = event.notification.data.conversation_id ?? "";
  event.waitUntil(self.clients.openWindow(`../#${encodeURIComponent(conversation)}`));
});
